"""Who is in which audience, and who of them is left alone on purpose."""
