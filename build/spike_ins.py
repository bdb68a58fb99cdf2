"""Spike a subset with Perturb-seq cells: they take the place of training cells, or join them.

1. which cells of each source may be drawn at all (`curate.build.leakage.pools`); one that two sources hold
   is drawn of the first;
2. how many of them, exactly;
3. which of them: those of the smallest keys, overall or evenly over perturbations;
4. which training cells make room for them: those of the smallest keys again;
5. what came of it is a manifest of its own, whose parent is the subset.

Keys are keyed hashes of who a cell is, so that a share of 0.1 lies inside one of 0.5. Validation and test
cells are those of the subset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from curate.build.leakage.pools import Pool, pool_of
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.reweight import water_fill
from curate.build.strategies.strata import stratify
from curate.errors import SelectionError
from curate.identity import cell_keys, release_identity_hash
from curate.manifests.document import BASE, SPLITS, ParentRecord, SpikeInRecord
from curate.manifests.obs import corpus_rows
from curate.manifests.write import write_manifest
from curate.sources.source import PERTURBATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from curate.build.exclusions import Exclusion
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry
    from curate.sources.source import Source

Mode = Literal["replace", "add"]
Balance = Literal["none", "perturbation"]
MODES: tuple[Mode, ...] = get_args(Mode)
BALANCES: tuple[Balance, ...] = get_args(Balance)
TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class SpikeIns:
    """What to spike every subset of a build with.

    Attributes
    ----------
    shares
        Each source, and its cells as a share of the training cells, in (0, 1].
    mode
        Whether they take the place of as many training cells or join them.
    balance
        Whether cells are drawn uniformly, or evenly over the perturbations of the source, controls being one
        of them; a perturbation with fewer cells than its part gives all it has, and a cell of which nothing
        says how it is perturbed ("unassigned") none.
    allow_uncompared
        Take a source as it is that was not compared with the corpus, where comparing takes long.
    pools
        By source, the cells that may be drawn, from `guarded`.
    """

    shares: tuple[tuple[Source, float], ...]
    mode: Mode = "replace"
    balance: Balance = "none"
    allow_uncompared: bool = False
    pools: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What the name of a spiked manifest adds to that of its base."""
        shares = "".join(f"+{source.name}={share:g}" for source, share in self.shares)
        added = "" if self.mode == "replace" else f"-{self.mode}"
        return shares + added + ("" if self.balance == "none" else "-balanced")

    def explained(self) -> str:
        """Return what spiking reads beside the subset."""
        files = ", ".join(
            f"{source.name} ({source.n_cells:,} cells, {source.header.file.n_bytes / 1e9:,.2f} GB)"
            for source, _ in self.shares
        )
        return (
            "this is of the subsets alone; spiking them reads no counts of the corpus once the sources were "
            f"compared with it, and reading the counts of spike-ins later reads the files of {files}"
        )


def plan_spike_ins(
    shares: Sequence[tuple[Source, float]],
    *,
    mode: str = "replace",
    balance: str = "none",
    allow_uncompared: bool = False,
) -> SpikeIns:
    """Check what to spike with, before anything is chosen.

    Raises
    ------
    SelectionError
        When a share is not in (0, 1], a source is named twice, or mode or balance is unknown; when shares of
        training cells to replace add up to more than all.
    SourceError
        When the file of a source has vanished or changed.
    """
    for name, value, known in (("mode", mode, MODES), ("balance", balance, BALANCES)):
        if value not in known:
            raise SelectionError(f"no spike-in {name} {value!r}; there are: {', '.join(known)}")
    names = [source.name for source, _ in shares]
    for source, share in shares:
        if not 0 < share <= 1:
            raise SelectionError(
                f"spike-in {source.name}={share:g} is no share of the training cells; give one above 0 and "
                "at most 1"
            )
        if names.count(source.name) > 1:
            raise SelectionError(
                f"spike-in {source.name} is named {names.count(source.name)} times; name it once"
            )
    total = sum(Fraction(str(share)) for _, share in shares)
    if mode == "replace" and total > 1:
        raise SelectionError(
            f"spike-ins would replace {float(total):g} of the training cells; at most 1 in all can "
            "be replaced"
        )
    for source, _ in shares:
        source.check_file()
    return SpikeIns(tuple(shares), mode, balance, allow_uncompared)  # type: ignore[arg-type]


def guarded(spike_ins: SpikeIns, exclusions: Sequence[Exclusion] = ()) -> SpikeIns:
    """Find the cells of each source that may be drawn, as `pool_of`; once for all subsets of a build.

    Parameters
    ----------
    exclusions
        Those of the build.

    Raises
    ------
    SourceError
        When a source was not compared with the corpus or another source, and that takes long.
    """
    sources = [source for source, _ in spike_ins.shares]
    pools = {
        source.name: pool_of(
            source,
            exclusions,
            before=sources[:number],
            uncompared=spike_ins.allow_uncompared,
            assigned=spike_ins.balance == "perturbation",
        )
        for number, source in enumerate(sources)
    }
    return replace(spike_ins, pools=pools)


def spike(base: Manifest, spike_ins: SpikeIns, *, registry: Registry, corpus: Corpus, seed: int) -> Manifest:
    """Write down a subset with cells of other sources among its training cells.

    Memory: as the subset's; the cells of a source are looked at one column at a time.

    Parameters
    ----------
    base
        A manifest of the corpus without spike-ins; the parent of the new one.
    spike_ins
        From `guarded`: unguarded ones could bring cells of the corpus or of evaluation sets into train.
    seed
        Of the draws from the sources, and of which training cells make room.

    Raises
    ------
    SelectionError
        When a share is no cell, or more cells than the source has or may give.
    ValueError
        When the spike-ins are not guarded.
    """
    # 1. Which may be drawn.
    pools = spike_ins.pools
    if set(pools) != {source.name for source, _ in spike_ins.shares}:
        raise ValueError("the spike-ins are not guarded; give them to `guarded` with the exclusions first")
    cells = base.cells()
    is_train = cells["split"].to_physical().to_numpy() == TRAIN
    n_train = int(is_train.sum())
    drawn = []
    for source, share in spike_ins.shares:
        pool = pools[source.name]
        # 2. How many, 3. which.
        n = n_spiked(source, share, n_train, pool=pool)
        drawn.append((source, share, draw(source, n, balance=spike_ins.balance, seed=seed, among=pool.rows)))
    # 4. Which training cells make room.
    if spike_ins.mode == "replace":
        n_replaced = sum(len(rows) for _, _, rows in drawn)
        identity = corpus.identity()[corpus_rows(corpus, cells["soma_joinid"].to_numpy()[is_train])]
        keys = cell_keys(identity, seed=seed, purpose="spike-in replaced")
        kept = np.ones(len(cells), np.bool_)
        kept[np.flatnonzero(is_train)[smallest_keys(keys, np.array([n_replaced]))]] = False
        cells = cells.filter(kept)
    # 5. What came of it.
    document = base.document
    records = [
        SpikeInRecord(
            source=source.name,
            id=source.id,
            fraction=share,
            mode=spike_ins.mode,
            parameters={"balance": spike_ins.balance, "seed": seed}
            | ({} if pools[source.name].was_compared else {"compared_with_corpus": False})
            | _not_compared_with(pools[source.name]),
        )
        for source, share, _ in drawn
    ]
    return write_manifest(
        registry,
        base.name + spike_ins.suffix,
        corpus=corpus,
        cells=_with_sources(cells, drawn),
        selection=document.selection,
        splits=document.splits,
        spike_ins=records,
        exclusions=[
            *document.exclusions,
            *(record for source, _, _ in drawn for record in pools[source.name].exclusions),
        ],
        parents=[ParentRecord(id=base.id, relation=BASE, ref=base.ref)],
        sources={source.name: source for source, _, _ in drawn},
    )


def _not_compared_with(pool: Pool) -> dict[str, list[str]]:
    return {"not_compared_with": list(pool.not_compared_with)} if pool.not_compared_with else {}


def n_spiked(source: Source, share: float, n_train: int, *, pool: Pool | None = None) -> int:
    """Return how many cells a share of the training cells is, rounded down; exact in decimals.

    Parameters
    ----------
    pool
        The cells that may be drawn; all by default.

    Raises
    ------
    SelectionError
        When it is none, or more than the source has or may give.
    """
    n = math.floor(Fraction(str(share)) * n_train)
    asked = f"spike-in {source.name}={share:g} of {n_train:,} training cells"
    if n == 0:
        least = f"use at least {_rounded_up(Fraction(1, n_train)):g}" if n_train else "choose more cells"
        raise SelectionError(f"{asked} is 0 cells; {least}")
    n_left = source.n_cells if pool is None else len(pool.rows)
    if n > n_left:
        sizes = source.header.perturbation.assigned.values()
        left = f", of which {n_left:,} may be drawn ({pool.reasons()})" if pool and pool.reasons() else ""
        most = math.floor(Fraction(n_left, n_train) * 10_000) / 10_000
        advice = f"use at most {most:g}, or a smaller subset" if most else "take another source"
        raise SelectionError(
            f"{asked} is {n:,} cells, and source {source.name!r} has {source.n_cells:,} ({len(sizes):,} "
            f"perturbations of {min(sizes):,} to {max(sizes):,} cells){left}; {advice}"
        )
    return n


def draw(
    source: Source,
    n: int,
    *,
    balance: Balance,
    seed: int,
    among: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return `n` rows of a source, int64 ascending: the smallest keys, overall or within perturbations.

    With one seed a draw of fewer cells lies inside this one.

    Parameters
    ----------
    among
        int64 ascending, the rows that may be drawn; all by default.
    """
    rows = np.arange(source.n_cells) if among is None else among
    identity = release_identity_hash(f"source {source.id}", rows)
    keys = cell_keys(identity, seed=seed, purpose="spike-in")
    if balance == "none":
        return rows[smallest_keys(keys, np.array([n]))]
    strata = stratify(source.columns([PERTURBATION], rows=rows), (PERTURBATION,))
    quotas = water_fill(strata.counts, n, rng=np.random.default_rng([seed, int(source.id[:8], 16)]))
    return rows[smallest_keys(keys, quotas, codes=strata.codes)]


def _with_sources(
    cells: pl.DataFrame, drawn: Sequence[tuple[Source, float, NDArray[np.int64]]]
) -> pl.DataFrame:
    """Add the drawn cells, of split train; weight and rank are the subset's and mean nothing for them."""
    parts = [
        pl.DataFrame(
            {"source": [source.name] * len(rows), "soma_joinid": rows},
            schema={"source": pl.Categorical, "soma_joinid": pl.Int64},
        ).with_columns(pl.lit("train", dtype=pl.Enum(SPLITS)).alias("split"))
        for source, _, rows in drawn
    ]
    return pl.concat([cells.with_columns(pl.col("source").cast(pl.Categorical)), *parts], how="diagonal")


def _rounded_up(share: Fraction) -> float:
    digits = max(2, math.ceil(-math.log10(share)) + 1)
    scale: int = 10**digits
    return math.ceil(share * scale) / scale
