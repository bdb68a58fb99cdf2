"""Embeddings that are there already, whole or in part."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pydantic import ValidationError

from curate.build.embeddings.embedding import Embedding
from curate.documents import Document
from curate.errors import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.corpus import Corpus

    Parameters = Mapping[str, int | float | str]

PASSES = "passes"


class Plan(Document):
    """What the passes found in a folder were made for."""

    corpus: str
    parameters: dict[str, int | float | str]


def opened_again(path: Path, corpus: Corpus, parameters: Parameters) -> Embedding:
    """Open an embedding that is asked for again.

    Raises
    ------
    EmbeddingError
        When it has other parameters.
    """
    embedding = Embedding.open(path, corpus)
    made = embedding.header.parameters
    other = [name for name in parameters if made.get(name) != parameters[name]]
    if other:
        settings = ", ".join(f"{name} {made.get(name)}, not {parameters[name]}" for name in other)
        raise EmbeddingError(
            f"corpus {corpus.name} has an embedding {path.name!r} with other settings ({settings}); "
            "give this one another name"
        )
    return embedding


def prepare(folder: Path, corpus: Corpus, parameters: Parameters) -> None:
    """Remove what an interrupted run with other parameters has left."""
    passes = folder / PASSES
    plan = Plan(corpus=corpus.id, parameters=dict(parameters))
    try:
        found = Plan.model_validate_json((passes / "plan.json").read_text())
    except (OSError, ValidationError):
        found = None
    if found != plan:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        plan.save(passes / "plan.json")
