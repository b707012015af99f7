"""Pictures and summary.json of a training run, made on held-out studies."""
