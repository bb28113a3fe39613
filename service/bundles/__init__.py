"""Choose the bundle that answers: shelf, swap, experiments over two bundles. Start at `swap.BundleSwap`."""
