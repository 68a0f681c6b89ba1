"""From the files that a shop's systems drop to checked tables in the lake, day by day."""
