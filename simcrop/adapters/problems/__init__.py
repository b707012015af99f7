"""What can be wrong with data: the codes, and the judgement of voxels, paths and reports."""
