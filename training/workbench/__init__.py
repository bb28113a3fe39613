"""What every stage works with: dataset, settings, device, cached stages, checkpoints, progress."""
