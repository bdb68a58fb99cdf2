"""A ladder: every manifest of a scaling study, by strategy, seed and fraction, at once.

1. everything that can be refused is refused before anything is built;
2. candidates, splits and the labels of all cells are found once, what a strategy prepares (a covering) once;
3. line by line (strategy, seed), step by step from the smallest: a manifest that is there already is taken as
   it is, so that a ladder that was killed goes on; of a nested ladder each step contains the one before it;
4. the ladder itself is written down, once all its manifests are there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from curate.build.builder import OBS_COLUMNS, Builder
from curate.build.candidates import find_candidates
from curate.build.chooser import make_ready
from curate.build.requests import Request, cells_of_fraction, check_seeds
from curate.build.splits.cells import RATIOS
from curate.build.splits.splits import make_splits
from curate.build.splits.units import CELL
from curate.build.strategies import STRATEGIES
from curate.build.strategies.named import settle_all
from curate.errors import SelectionError
from curate.manifests.document import ParentRecord
from curate.manifests.ladder import LadderDocument, StepRecord, StrategyRecord
from curate.manifests.ladders import add_ladder, check_ladder_name
from curate.manifests.write import corpus_record
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from curate.build.chooser import Chosen
    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.strategies.named import Named
    from curate.corpus import Corpus
    from curate.manifests.document import ManifestDocument
    from curate.manifests.registry import Registry

CONTAINS = "contains"
_UNSET = "0" * 64


@dataclass(frozen=True)
class Step:
    """A manifest of a ladder, and whether this run made it."""

    record: StepRecord
    document: ManifestDocument
    is_new: bool


@dataclass(frozen=True)
class Ladder:
    """A ladder that was built."""

    document: LadderDocument
    steps: tuple[Step, ...]


def build_ladder(
    corpus: Corpus,
    *,
    registry: Registry,
    strategies: Sequence[Named],
    fractions: Sequence[float],
    seeds: Sequence[int] = (0,),
    nested: bool = False,
    name: str = "ladder",
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    split_by: str | Sequence[str] = CELL,
    split_ratios: Sequence[float] = RATIOS,
    split_seed: int = 0,
    split_stratify_by: str | Sequence[str] = ("cell_type",),
) -> Ladder:
    """Build the manifests of a scaling study, and the ladder that links them.

    Memory: that of one build. A full manifest is held at a time, whatever the number of steps.

    Parameters
    ----------
    strategies
        As in `build`. One that draws nothing gets the first seed only.
    fractions
        Shares (0, 1] of the cells to choose from.
    nested
        Each step contains the one before it, so that a difference between steps is what the added cells do:
        all steps of a line draw by the same keys. Otherwise each step draws with a seed of its own, made of
        the line's and of the fraction.
    name
        Of the ladder; its manifests are called "NAME-STRATEGY-FRACTION-sSEED".
    parameters
        Settings of the strategies; each takes those that it has.
    where, exclusions, embedding, split_by, split_ratios, split_seed, split_stratify_by
        As in `build`.

    Raises
    ------
    SelectionError
        When a strategy is unknown, or is to nest and cannot, or a fraction or a parameter is none.
    EmbeddingError
        When a strategy needs an embedding and there is none.
    """
    check_ladder_name(registry, name)
    all_chosen = _settle(corpus, strategies, nested=nested, embedding=embedding, parameters=parameters or {})
    check_seeds(seeds)
    candidates = find_candidates(corpus, where, exclusions)
    sizes = {each: cells_of_fraction(each, candidates.n_cells) for each in sorted(set(fractions))}
    if not sizes:
        raise SelectionError("a ladder needs at least one fraction, such as 0.01,0.1,1")
    for chosen in all_chosen:
        registry.check_name(_name(name, chosen, min(sizes), max(seeds)))
    splits = make_splits(
        corpus,
        candidates,
        unit=split_by,
        ratios=split_ratios,
        seed=split_seed,
        stratify_by=split_stratify_by,
    )
    obs = corpus.columns(OBS_COLUMNS)
    lines = [(chosen, seed) for chosen in all_chosen for seed in _seeds_of(chosen, seeds)]
    steps: list[Step] = []
    builder: Builder | None = None
    with progress("Building the ladder", len(lines) * len(sizes), unit="manifests") as advance:
        for chosen, seed in lines:
            if builder is None or builder.chosen is not chosen:
                builder = Builder(registry, corpus, candidates, splits, chosen, where=where, obs=obs)
            for step in _line(builder, sizes, seed=seed, nested=nested, name=name):
                steps.append(step)
                advance(1)
    document = add_ladder(
        registry,
        LadderDocument(
            name=name,
            version=1,
            id=_UNSET,
            created=datetime.now(UTC).replace(microsecond=0),
            corpus=corpus_record(corpus),
            nested=nested,
            where=where,
            fractions=tuple(sizes),
            seeds=tuple(dict.fromkeys(seeds)),
            strategies=tuple(
                StrategyRecord(strategy=chosen.name, parameters=chosen.settings) for chosen in all_chosen
            ),
            steps=tuple(step.record for step in steps),
        ),
    )
    return Ladder(document, tuple(steps))


def step_seed(seed: int, fraction: float) -> int:
    """Return the seed of one step of a ladder that is not nested, 32 bits."""
    digest = hashlib.blake2b(f"ladder\0{seed}\0{fraction!r}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _settle(
    corpus: Corpus,
    strategies: Sequence[Named],
    *,
    nested: bool,
    embedding: Embedding | None,
    parameters: Mapping[str, object],
) -> list[Chosen]:
    if not strategies:
        raise SelectionError(f"a ladder needs a strategy; there are: {', '.join(STRATEGIES)}")
    settled = settle_all(list(dict.fromkeys(strategies)), parameters)
    names = [each.name for each in settled]
    if again := [name for name in names if names.count(name) > 1]:
        raise SelectionError(f"{again[0]} is there {names.count(again[0])} times; make a ladder for each")
    if nested and (others := [each.name for each in settled if not each.strategy.nested]):
        able = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.nested)
        raise SelectionError(
            f"{' and '.join(others)} cannot nest; those that can: {able}; choose among them, or build "
            "without nesting"
        )
    return [make_ready(each, corpus=corpus, embedding=embedding) for each in settled]


def _seeds_of(chosen: Chosen, seeds: Sequence[int]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    return distinct if chosen.strategy.is_drawn else distinct[:1]


def _name(ladder: str, chosen: Chosen, fraction: float, seed: int) -> str:
    return f"{ladder}-{chosen.label}-{fraction:g}-s{seed}"


def _line(
    builder: Builder, sizes: Mapping[float, int], *, seed: int, nested: bool, name: str
) -> Iterator[Step]:
    """Yield the steps of one strategy and seed, the smallest first."""
    below: Step | None = None
    rows_below: NDArray[np.int64] | None = None
    for fraction, n_cells in sizes.items():
        draw = seed if nested else step_seed(seed, fraction)
        request = Request(n_cells=n_cells, seed=draw, fraction=fraction)
        parents = (
            [ParentRecord(id=below.document.id, relation=CONTAINS, ref=below.document.ref)]
            if nested and below is not None
            else []
        )
        called = _name(name, builder.chosen, fraction, seed)
        document = _find(builder, called, request, parents)
        is_new = document is None
        if document is None:
            selection = builder.choose(request)
            if nested:
                _check_contains(builder, selection.rows, rows_below, fraction=fraction)
                rows_below = selection.rows
            document = builder.write(called, request, selection, parents=parents).document
        else:
            rows_below = None
        below = Step(
            StepRecord(
                strategy=builder.chosen.name,
                fraction=fraction,
                seed=seed,
                drawn_with=draw,
                n_cells=document.n_cells,
                manifest=document.name,
                version=document.version,
                id=document.id,
            ),
            document,
            is_new,
        )
        yield below


def _find(
    builder: Builder, name: str, request: Request, parents: Sequence[ParentRecord]
) -> ManifestDocument | None:
    """Return the manifest of this name that was asked the same, if it is there whole."""
    wanted = builder.asked(request, parents=parents)
    for entry in reversed(builder.registry.entries(name)):
        if entry.document is not None and entry.document.asked() == wanted:
            folder = builder.registry.version_path(entry.name, entry.version)
            files = entry.document.files.items()
            if all(
                (path := folder / file).is_file() and path.stat().st_size == held.n_bytes
                for file, held in files
            ):
                return entry.document
    return None


def _check_contains(
    builder: Builder, rows: NDArray[np.int64], below: NDArray[np.int64] | None, *, fraction: float
) -> None:
    """Refuse a step that does not contain the one below it: settings can keep a strategy from nesting."""
    if below is None:
        return
    is_held = np.zeros(builder.candidates.n_cells, dtype=np.bool_)
    is_held[rows] = True
    n_lost = int((~is_held[below]).sum())
    if n_lost:
        raise SelectionError(
            f"{builder.chosen.name} with these parameters does not nest: {n_lost:,} of the {below.size:,} "
            f"cells of a step are not in the next, {fraction:g}; leave them out, or build without nesting"
        )
