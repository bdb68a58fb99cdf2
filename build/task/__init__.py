"""Task documents, resolved against a corpus: what a downstream task asks of its cells."""
