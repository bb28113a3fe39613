"""The vocabulary, the tokenizer, and their compiled kernels: feature sets in, tokens out, and back.

Start at `tokenizer.Tokenizer`.
"""
