"""The option that leaves near-duplicates out, and what it says beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.explain import Explanation
    from curate.corpus import Corpus


def dedup_option(function: Callable[..., None]) -> Callable[..., None]:
    """Offer --dedup; the command gets a cosine or None."""
    return click.option(
        "--dedup",
        metavar="COSINE",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="First leave out near-duplicates: of cells more similar than this in the embedding, such as "
        "0.95, one stays.",
    )(function)


def dedup_exclusions(embedding: Embedding | None, above: float | None) -> list[Exclusion]:
    """Return the exclusion of near-duplicates; none where it is not asked for."""
    if above is None or embedding is None:
        return []
    from curate.build.dedup.dedup import near_duplicates

    return [near_duplicates(embedding, above)]


def explain_dedup(
    corpus: Corpus, embedding: Embedding | None, above: float | None, *, root: Path
) -> tuple[list[Explanation], list[str]]:
    """Say what looking for near-duplicates will take, and what will come off once that is done."""
    if above is None or embedding is None:
        return [], []
    from curate.build.dedup.explain import explain_near_duplicates

    explained = explain_near_duplicates(corpus, embedding, above, root=root)
    return [explained], [f"near-duplicates above {above:g} in {embedding.name}"]
