"""The stages of a day on a GPU (benchmarks/gpu_day.py): each a module with `run(day)`."""
