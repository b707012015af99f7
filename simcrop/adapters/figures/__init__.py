"""Everything that is drawn: matplotlib figures of arrays and numbers."""
