"""Sinks of a step's numbers: metrics.jsonl, TensorBoard, MLflow, Weights & Biases, the terminal."""
