"""The builder: embeddings, strategies, splits and the way from a corpus to a manifest."""
