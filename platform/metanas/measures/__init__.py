"""What can be computed from a module without training it."""
