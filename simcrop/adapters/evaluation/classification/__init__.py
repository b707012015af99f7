"""`eval probe`, `knn` and `finetune`: labels, features, classifiers on disk, the report."""
