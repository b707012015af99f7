"""The domain: studies, reports, model, objectives, training and evaluation, in torch and the standard library alone."""
