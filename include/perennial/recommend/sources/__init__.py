"""Where candidates come from: one module for each source, and all of them together."""
