"""What is shown to whom, against the catalogue: shares, pictures, a page."""
