"""Train what ranks beside the generator: the dense head and the mixture. Start at `stages`."""
