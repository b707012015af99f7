"""Code that exports carry with them, file by file as it stands here, so that they run where simcrop is not installed.

It imports torch, numpy and nibabel, and transformers or MONAI where the export is for them: nothing of simcrop, and
nothing else. It computes what the rest of simcrop computes, for a trained model alone, and tests hold both equal.
"""
