"""How candidates are ranked."""
