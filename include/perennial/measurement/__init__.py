"""What campaigns changed, or went along with, measured once their window has closed."""
