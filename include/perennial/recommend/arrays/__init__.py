"""Arrays that hold many customers or items at once: looking up, ragged lists, sparse products, threads."""
