"""Studies on their way to a batch: the values, splits, augmentation, items, and what can be wrong with them."""
