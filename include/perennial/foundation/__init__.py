"""The ground floor, one noun for each file. Every other package may import it; it imports none of them."""
