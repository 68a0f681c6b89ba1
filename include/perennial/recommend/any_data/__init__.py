"""The recommender evaluated on any table of purchases."""
