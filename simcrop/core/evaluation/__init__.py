"""Measuring a trained model: features, probes, maps, retrieval, intervals."""
