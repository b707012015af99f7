"""Where a step's numbers go: metrics.jsonl, TensorBoard, the terminal."""
