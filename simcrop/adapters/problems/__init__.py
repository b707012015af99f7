"""Judgement of data: voxels, paths, and verdicts that are remembered."""
