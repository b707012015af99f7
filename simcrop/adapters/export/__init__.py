"""A trained model in the formats that others read, with its model card."""
