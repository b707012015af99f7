"""Everything outside the domain: settings, files, data sets, text encoders, checkpoints, pictures."""
