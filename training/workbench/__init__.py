"""The workbench of every stage: data, settings, device, stage cache, training loop. Start at `Workbench`."""
