"""What a SimCroP is: data types, objectives, model and training, in torch and the standard library alone."""
