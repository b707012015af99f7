"""Results of a training run on held-out studies: pictures, summary.json."""
