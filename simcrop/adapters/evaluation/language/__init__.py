"""`eval zeroshot`, `retrieval`, `grounding` and `locate`: sentences, their maps, the reports."""
