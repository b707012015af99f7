"""`eval segment`: organ maps, UNETR, training, the report. Needs MONAI."""
