"""The command line: `simcrop`, or `python -m simcrop_cli` (which torchrun needs)."""
