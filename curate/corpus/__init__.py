"""A corpus: a recipe applied to a Census, on disk, in joinid order."""

from curate.corpus.corpus import Corpus

__all__ = ["Corpus"]
