"""Trained models: a folder each, with what they were trained on, how, and at what cost."""

from __future__ import annotations

from curate.train.artifact.artifact import Artifact, artifacts, find_model

__all__ = ["Artifact", "artifacts", "find_model"]
