"""What simcrop knows of the outside: settings, files, data sets, text encoders, checkpoints, pictures."""
