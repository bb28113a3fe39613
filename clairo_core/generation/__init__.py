"""From a history's tokens to the most probable items: the T5, the trie, and the search over both."""
