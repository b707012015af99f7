"""Weights on disk: written whole, verified, found by path or hub id, continued."""
