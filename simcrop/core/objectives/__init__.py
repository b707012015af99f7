"""The terms of the loss: alignment, late interaction, reconstruction of volume and report."""
