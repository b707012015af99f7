"""From a source's volume to a batch: resampled once, kept, masked and tokenised."""
