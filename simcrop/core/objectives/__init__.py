"""The terms of the loss: alignment, late interaction, organ shares, reconstruction of volume and report."""
