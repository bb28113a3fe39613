"""The T5: a checkpoint on disk, its encoder, and one decoder step at a time. Start at `generator.load_generator`."""
