"""What ranks beside the generator: a dense head, what goes with what, and how to weigh them. Start at `stages`."""
