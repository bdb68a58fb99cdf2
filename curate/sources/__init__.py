"""Perturb-seq data sets beside a corpus, to spike its subsets with."""

from curate.sources.source import Source, find_source, source_by_id, source_names

__all__ = ["Source", "find_source", "source_by_id", "source_names"]
