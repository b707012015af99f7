"""One file for each outside thing: file formats, data sets, text encoders, checkpoints, pictures, processes."""
