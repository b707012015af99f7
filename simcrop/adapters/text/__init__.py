"""Tokenizers and text encoders of the transformers library."""
