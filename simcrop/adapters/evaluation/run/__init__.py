"""What a training run shows of itself on held-out studies: pictures, summary.json."""
