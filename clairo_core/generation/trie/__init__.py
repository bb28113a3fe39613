"""The trie of all canonical tokens: which tokens can follow a prefix. Start at `trie.build_trie`."""
