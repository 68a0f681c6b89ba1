"""What the return model has to beat."""
