"""The training loop, its optimizers, and one step of it."""
