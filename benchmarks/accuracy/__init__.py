"""What is recommended: accuracy on held-out items."""
