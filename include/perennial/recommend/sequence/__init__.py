"""A causal transformer over the orders of customers."""
