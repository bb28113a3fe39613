"""Beam search over the trie, and the fusion of the beams of several views. Start at `beam_search.search`."""
