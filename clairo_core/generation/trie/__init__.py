"""The trie of all canonical tokens: which tokens can follow a prefix. Start at `trie.trie_of_tokens`."""
