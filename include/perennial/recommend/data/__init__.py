"""What is learned from: the catalogue, what customers bought, what they bought in a window."""
