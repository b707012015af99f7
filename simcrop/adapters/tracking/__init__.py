"""Sinks of a step's numbers: metrics.jsonl, TensorBoard, the terminal."""
