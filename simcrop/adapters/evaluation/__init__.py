"""Results of evaluations as files, tables and pictures; what they read a model's features by."""
