"""A model applied to scans of one's own: what it makes of them, on disk."""
