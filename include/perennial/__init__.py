"""Perennial: a shop's consumer marketing, every day. Each package below is a room of the house (docs/house.md)."""
