"""Perennial: a shop's consumer marketing, every day. Each package is a room of the house (docs/house.md)."""

__version__ = "0.1.0"
