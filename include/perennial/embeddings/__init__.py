"""A vector for every different item text, made once."""
