"""The ground floor, one noun a file. Everything above stands on it; it stands on nothing of ours."""
