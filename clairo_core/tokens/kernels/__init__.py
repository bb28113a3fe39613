"""The compiled inner loops of tokenizing and of learning a vocabulary."""
