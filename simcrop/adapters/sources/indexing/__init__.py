"""A tree of files as it leaves an archive becomes a table of its volumes, with a reason for every other file."""
