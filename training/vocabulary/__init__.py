"""Learn merge rules from histories, grow them, say what a bundle's tokens are made of. Start at `learn_vocabulary`."""
