"""Embeddings of a corpus: a streaming PCA, those made elsewhere, and how they lie on disk."""
