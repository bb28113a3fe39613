"""Feature sets <-> tokens: the vocabulary, the tokenizer, and their compiled kernels.

Feature sets come in, token ids go out, and back. Start at `tokenizer.Tokenizer`.
"""
