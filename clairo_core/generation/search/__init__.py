"""Beam search over the trie, and fusion of several views' beams. Start at `beam_search.search`."""
