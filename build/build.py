"""From a corpus to manifests: the way through the builder.

1. candidates: the rows of the corpus that pass the filter;
2. the number of cells, from a fraction or as given;
3. the strategy chooses rows among the candidates;
4. every chosen cell gets its split;
5. what was chosen, and why, is written down as a manifest;
6. where asked for, Perturb-seq cells join its training cells, in a manifest of its own (`spike_ins.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.composition import COMPOSITION_COLUMNS, DONOR_COLUMNS
from curate.build.costs import measure_costs
from curate.build.selection import Selection, Strategy, check_n
from curate.build.spike_ins import SpikeIns, spike
from curate.build.splits import assign_splits
from curate.build.strategies import STRATEGIES
from curate.errors import EmbeddingError, SelectionError
from curate.identity import cell_keys
from curate.manifests.document import CENSUS, SPLITS, SelectionRecord, SplitRecord
from curate.manifests.write import write_manifest
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from curate.build.embedding import Embedding
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry

OBS_COLUMNS = ("soma_joinid", *dict.fromkeys(COMPOSITION_COLUMNS + DONOR_COLUMNS))


@dataclass(frozen=True)
class Request:
    """How many cells to choose, and with which seed."""

    n_cells: int
    seed: int
    fraction: float | None = None

    @property
    def suffix(self) -> str:
        """The part of a manifest's default name that tells the request."""
        size = f"n{self.n_cells}" if self.fraction is None else f"{self.fraction:g}"
        return f"{size}-s{self.seed}"


@dataclass(frozen=True)
class Candidates:
    """The cells that a strategy may choose from, in corpus order."""

    rows: NDArray[np.int64] | None
    n_cells: int
    identity: NDArray[np.uint64]

    def of(self, values: Any) -> Any:
        """Return `values` [n_corpus, …] of the candidates."""
        return values if self.rows is None else values[self.rows]

    def to_corpus(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return corpus rows for rows among the candidates."""
        return rows if self.rows is None else self.rows[rows]


def build(
    corpus: Corpus,
    *,
    registry: Registry,
    strategy: str,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    split_ratios: Sequence[float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
    name: str | None = None,
    spike_ins: SpikeIns | None = None,
) -> list[Manifest]:
    """Choose cells from a corpus and write each choice down as a manifest.

    Parameters
    ----------
    strategy
        A key of STRATEGIES.
    fraction, n_cells
        One of them: shares (0, 1] of the cells that pass `where`, rounded down, or numbers of cells.
    seed
        One manifest is made for each size and seed.
    where
        Only cells that match choose from; the language of `curate.where`.
    embedding
        For strategies that need one; it must be of this corpus. Those that measure what they cost do so on
        it too, when it is given.
    parameters
        Settings of the strategy; the defaults stand in STRATEGIES.
    split_ratios, split_seed
        As in `assign_splits`. The split seed is apart from `seed`, so that all subsets share one test split.
    name
        Of the manifest; by default "STRATEGY-SIZE-sSEED". With several sizes or seeds it is a prefix.
    spike_ins
        From `plan_spike_ins`: each manifest is followed by one spiked with these, "NAME+SOURCE=SHARE".

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
    chosen = find_strategy(strategy)
    settings = chosen.resolve(parameters or {})
    if chosen.needs_embedding and embedding is None:
        raise EmbeddingError(
            f"{strategy} needs an embedding of corpus {corpus.name!r}; "
            f"make one with `curate embed {corpus.name}`"
        )
    if chosen.needs_embedding and embedding is not None:
        embedding.verify()
    candidates = find_candidates(corpus, where)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells, where=where)
    cells = cells_of(corpus, candidates, chosen.columns(settings))
    values = candidates.of(embedding.values) if chosen.needs_embedding and embedding is not None else None
    # Several choices share one reading of all rows; a single one needs no more than its own.
    obs = corpus.columns(OBS_COLUMNS) if len(requests) > 1 else None
    shared = chosen.prepare(values, **settings) if chosen.prepare else {}
    manifests = []
    for request in requests:
        keys = cell_keys(candidates.identity, seed=request.seed, purpose="select")
        rng = np.random.default_rng(request.seed)
        selection = chosen.select(cells, values, request.n_cells, keys=keys, rng=rng, **settings, **shared)
        costs = measure_costs(
            chosen,
            corpus,
            candidates,
            cells,
            selection,
            embedding=embedding,
            keys=keys,
            rng=rng,
            settings=settings,
        )
        rows = candidates.to_corpus(selection.rows)
        splits = assign_splits(candidates.identity[selection.rows], ratios=split_ratios, seed=split_seed)
        chosen_obs = corpus.columns(OBS_COLUMNS, rows=rows) if obs is None else obs[rows]
        manifests.append(
            write_manifest(
                registry,
                _name(name, strategy, request, several=len(requests) > 1),
                corpus=corpus,
                cells=_manifest_cells(chosen_obs["soma_joinid"], splits, selection),
                obs=chosen_obs.drop("soma_joinid"),
                selection=SelectionRecord(
                    strategy=strategy,
                    parameters=settings,
                    seed=request.seed,
                    fraction=request.fraction,
                    where=where,
                    embedding=embedding.id if chosen.needs_embedding and embedding is not None else None,
                    n_available=candidates.n_cells,
                    notes={**selection.notes, **costs},
                ),
                splits=SplitRecord(ratios=dict(zip(SPLITS, split_ratios, strict=True)), seed=split_seed),
            )
        )
        if spike_ins is not None:
            spiked = spike(manifests[-1], spike_ins, registry=registry, corpus=corpus, seed=request.seed)
            manifests.append(spiked)
    return manifests


def find_strategy(name: str) -> Strategy:
    """Return a strategy by name.

    Raises
    ------
    SelectionError
        With the list of names, when there is none of this name.
    """
    if name not in STRATEGIES:
        raise SelectionError(f"no strategy named {name!r}; there are: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def cells_of_fraction(fraction: float, n_candidates: int) -> int:
    """Return how many cells a fraction of `n_candidates` is, rounded down; exact in decimals.

    Raises
    ------
    SelectionError
        When the fraction is not in (0, 1], or so small that it is no cell.
    """
    if not 0 < fraction <= 1:
        raise SelectionError(f"fraction {fraction:g} is not a share; give one above 0 and at most 1")
    n = math.floor(Fraction(str(fraction)) * n_candidates)
    if n == 0:
        least = Fraction(1, n_candidates)
        digits = max(2, math.ceil(math.log10(n_candidates)) + 1)
        at_least = math.ceil(least * 10**digits) / 10**digits
        raise SelectionError(
            f"fraction {fraction:g} of {n_candidates:,} cells selects 0 cells; use at least {at_least:g}"
        )
    return n


def find_candidates(corpus: Corpus, where: str | None) -> Candidates:
    """Return the cells of a corpus that pass a filter."""
    identity = corpus.identity()
    if where is None:
        return Candidates(rows=None, n_cells=corpus.n_cells, identity=identity)
    condition = Where.parse(where)
    condition.check(["soma_joinid", *corpus.header.columns])
    rows = np.flatnonzero(condition.mask(corpus.columns(sorted(condition.columns))).to_numpy())
    if len(rows) == 0:
        raise SelectionError(
            f"no cell of corpus {corpus.name!r} ({corpus.n_cells:,} cells) matches {where!r}; "
            "see the values of a column with `curate corpus show --column COLUMN`"
        )
    return Candidates(rows=rows, n_cells=len(rows), identity=identity[rows])


def make_requests(
    fraction: float | Sequence[float] | None,
    n_cells: int | Sequence[int] | None,
    seed: int | Sequence[int],
    n_candidates: int,
    *,
    where: str | None,
) -> list[Request]:
    """Return one request a size and seed."""
    seeds = [seed] if isinstance(seed, int) else list(dict.fromkeys(seed))
    if (fraction is None) == (n_cells is None):
        raise SelectionError("give either a fraction or a number of cells")
    if not seeds or min(seeds) < 0:
        raise SelectionError(f"seeds {', '.join(map(str, seeds)) or 'none'}; give whole numbers from 0")
    sizes: list[tuple[int, float | None]]
    if fraction is not None:
        fractions = [fraction] if isinstance(fraction, int | float) else list(dict.fromkeys(fraction))
        sizes = [(cells_of_fraction(each, n_candidates), each) for each in fractions]
    else:
        numbers = [n_cells] if isinstance(n_cells, int) else list(dict.fromkeys(n_cells or ()))
        for number in numbers:
            check_n(number, n_candidates)
        sizes = [(number, None) for number in numbers]
    return [Request(n_cells=n, fraction=share, seed=each) for n, share in sizes for each in seeds]


def cells_of(corpus: Corpus, candidates: Candidates, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns of the candidates; of none, a frame of as many rows."""
    if not columns:
        return pl.DataFrame(height=candidates.n_cells)
    cells = corpus.columns(list(columns))
    return cells if candidates.rows is None else cells[candidates.rows]


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
