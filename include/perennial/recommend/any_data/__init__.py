"""The recommender tried on anybody's table of purchases."""
