"""From a corpus to manifests: the way through the builder.

1. the strategy and its settings, checked before anything is read;
2. candidates: the rows of the corpus that pass the filter and that nothing excludes;
3. the number of cells, from a fraction or as given;
4. the split of every cell of the corpus;
5. the strategy chooses rows among the candidates;
6. what was chosen, and why, is written down as a manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.build.candidates import find_candidates
from curate.build.chooser import Chooser, settle_strategy
from curate.build.composition import COMPOSITION_COLUMNS, DONOR_COLUMNS
from curate.build.requests import make_requests
from curate.build.split_cells import RATIOS
from curate.build.split_units import CELL
from curate.build.splits import make_splits
from curate.manifests.document import CENSUS, SPLITS, SelectionRecord
from curate.manifests.write import write_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from curate.build.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.requests import Request
    from curate.build.selection import Selection
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry

OBS_COLUMNS = ("soma_joinid", *dict.fromkeys(COMPOSITION_COLUMNS + DONOR_COLUMNS))


def build(
    corpus: Corpus,
    *,
    registry: Registry,
    strategy: str,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    split_by: str | Sequence[str] = CELL,
    split_ratios: Sequence[float] = RATIOS,
    split_seed: int = 0,
    split_stratify_by: str | Sequence[str] = ("cell_type",),
    name: str | None = None,
) -> list[Manifest]:
    """Choose cells from a corpus and write each choice down as a manifest.

    Parameters
    ----------
    strategy
        A key of STRATEGIES.
    fraction, n_cells
        One of them: shares (0, 1] of the cells to choose from, rounded down, or numbers of cells.
    seed
        One manifest is made for each size and seed.
    where
        Only cells that match are chosen from; the language of `curate.where`.
    exclusions
        Cells that are not to be chosen though they match: reasons in order, each counted on what those before
        it left. A fraction is one of the cells that are left.
    embedding
        For strategies that need one; it must be of this corpus. Those that measure what they cost do so on
        it too, when it is given.
    parameters
        Settings of the strategy; the defaults stand in STRATEGIES.
    split_by, split_ratios, split_seed, split_stratify_by
        As in `make_splits`. The split seed is apart from `seed`, so that all subsets share one test split.
    name
        Of the manifest; by default "STRATEGY-SIZE-sSEED". With several sizes or seeds it is a prefix.

    Returns
    -------
    list of Manifest
        In the order of sizes, then seeds. A choice that was made before adds no version.

    Raises
    ------
    SelectionError
        When the strategy is unknown, a size is 0 or more than there is, or a parameter is out of range.
    EmbeddingError
        When the strategy needs an embedding and there is none, or its values are not those recorded.
    FilterError
        When `where` does not parse or names an absent column.
    """
    chosen = settle_strategy(strategy, corpus=corpus, embedding=embedding, parameters=parameters or {})
    candidates = find_candidates(corpus, where, exclusions)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells)
    splits = make_splits(
        corpus,
        candidates,
        unit=split_by,
        ratios=split_ratios,
        seed=split_seed,
        stratify_by=split_stratify_by,
    )
    chooser = Chooser.prepare(corpus, candidates, chosen)
    # Several choices share one reading of all rows; a single one needs no more than its own.
    obs = corpus.columns(OBS_COLUMNS) if len(requests) > 1 else None
    manifests = []
    for request in requests:
        selection = chooser.choose(request.n_cells, seed=request.seed)
        rows = candidates.to_corpus(selection.rows)
        chosen_obs = corpus.columns(OBS_COLUMNS, rows=rows) if obs is None else obs[rows]
        manifests.append(
            write_manifest(
                registry,
                _name(name, strategy, request, several=len(requests) > 1),
                corpus=corpus,
                cells=_manifest_cells(chosen_obs["soma_joinid"], splits.of(rows), selection),
                obs=chosen_obs.drop("soma_joinid"),
                selection=_selection_record(chooser, request, selection, where=where),
                splits=splits.record,
                exclusions=candidates.exclusions,
            )
        )
    return manifests


def _selection_record(
    chooser: Chooser, request: Request, selection: Selection, *, where: str | None
) -> SelectionRecord:
    return SelectionRecord(
        strategy=chooser.chosen.name,
        parameters=chooser.chosen.settings,
        seed=request.seed,
        fraction=request.fraction,
        where=where,
        embedding=chooser.chosen.embedding_id,
        n_available=chooser.candidates.n_cells,
        notes=dict(selection.notes),
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


def _name(given: str | None, strategy: str, request: Request, *, several: bool) -> str:
    if given is None:
        return f"{strategy}-{request.suffix}"
    return f"{given}-{request.suffix}" if several else given
