"""Perennial: a shop's consumer marketing, every day. Each package is a room of the house (docs/house.md)."""
