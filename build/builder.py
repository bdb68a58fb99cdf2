"""Choices of one strategy among the same candidates, each written down as a manifest.

1. the strategy chooses rows among the candidates;
2. every chosen cell gets its split;
3. what was chosen, and why, is written down.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.build.chooser import Chooser
from curate.build.composition import COMPOSITION_COLUMNS, DONOR_COLUMNS
from curate.manifests.document import CENSUS, SPLITS, SelectionRecord, asked
from curate.manifests.write import write_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.chooser import Chosen
    from curate.build.requests import Request
    from curate.build.selection import Selection
    from curate.build.splits.splits import Splits
    from curate.corpus import Corpus
    from curate.manifests.document import ParentRecord
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry

OBS_COLUMNS = ("soma_joinid", *dict.fromkeys(COMPOSITION_COLUMNS + DONOR_COLUMNS))


class Builder:
    """Builds manifests of one strategy.

    Parameters
    ----------
    where
        The filter that the candidates passed.
    obs
        OBS_COLUMNS of the whole corpus, where several choices share one reading; read for each otherwise.
    """

    def __init__(
        self,
        registry: Registry,
        corpus: Corpus,
        candidates: Candidates,
        splits: Splits,
        chosen: Chosen,
        *,
        where: str | None = None,
        obs: pl.DataFrame | None = None,
    ) -> None:
        self.registry = registry
        self.corpus = corpus
        self.candidates = candidates
        self.splits = splits
        self.chosen = chosen
        self.where = where
        self.obs = obs

    @cached_property
    def chooser(self) -> Chooser:
        """What all choices share, read when the first is made."""
        return Chooser.prepare(self.corpus, self.candidates, self.chosen)

    def choose(self, request: Request) -> Selection:
        """Choose rows among the candidates."""
        return self.chooser.choose(request.n_cells, seed=request.seed)

    def write(
        self, name: str, request: Request, selection: Selection, *, parents: Sequence[ParentRecord] = ()
    ) -> Manifest:
        """Write a choice down."""
        rows = self.candidates.to_corpus(selection.rows)
        obs = self.corpus.columns(OBS_COLUMNS, rows=rows) if self.obs is None else self.obs[rows]
        return write_manifest(
            self.registry,
            name,
            corpus=self.corpus,
            cells=_manifest_cells(obs["soma_joinid"], self.splits.of(rows), selection),
            obs=obs.drop("soma_joinid"),
            selection=self._record(request, selection.notes),
            splits=self.splits.record,
            exclusions=self.candidates.exclusions,
            parents=parents,
        )

    def asked(self, request: Request, *, parents: Sequence[ParentRecord] = ()) -> dict[str, Any]:
        """Return what a manifest of this request would be asked to be, without choosing."""
        return asked(
            corpus_id=self.corpus.id,
            genes_id=self.corpus.header.genes.digest,
            selection=self._record(request, {}),
            splits=self.splits.record,
            exclusions=self.candidates.exclusions,
            parents=parents,
        )

    def _record(self, request: Request, notes: Mapping[str, int | float | str]) -> SelectionRecord:
        return SelectionRecord(
            strategy=self.chosen.name,
            parameters=self.chosen.settings,
            seed=request.seed,
            fraction=request.fraction,
            where=self.where,
            embedding=self.chosen.embedding_id,
            task=self.chosen.task,
            n_available=self.candidates.n_cells,
            notes=dict(notes),
        )


def _manifest_cells(joinids: pl.Series, splits: NDArray[np.uint8], selection: Selection) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": pl.Series([CENSUS], dtype=pl.Categorical).extend_constant(CENSUS, len(joinids) - 1),
            "soma_joinid": joinids,
            "split": pl.Series(splits).cat.to(pl.Enum(SPLITS)),
        }
        | ({} if selection.weights is None else {"weight": selection.weights})
        | ({} if selection.rank is None else {"rank": selection.rank})
    )
