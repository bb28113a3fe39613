"""Which bundle answers: the shelf, the swap, and experiments over two of them. Start at `swap.BundleSwap`."""
