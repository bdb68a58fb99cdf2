"""Measure how diverse manifests are, beside each other and beside their corpus.

For every set of cells (the whole corpus, then each manifest)
1. its rows in the corpus, of the split that is asked for;
2. the cells of every label;
3. the spectrum of its vectors, for the Vendi score;
4. the distance from sampled cells of the corpus to the nearest of it.
What takes long (3, 4) is kept in the folder of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from curate.build.composition import composition
from curate.build.diversity.indices import LabelDiversity
from curate.build.diversity.labels import gini_simpson, inverse_simpson, rarefied_richness, shannon_bits
from curate.build.diversity.rare import rare_held, rare_labels
from curate.build.diversity.report import CellSet, CorpusFacts, DiversityReport
from curate.build.diversity.series import name_bases, name_series
from curate.build.diversity.space import Space
from curate.errors import ManifestError
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.obs import ABSENT, find_rows
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.build.diversity.report import DiversitySettings
    from curate.corpus import Corpus
    from curate.manifests.document import ManifestDocument, Split
    from curate.manifests.manifest import Manifest


def measure_diversity(
    manifests: Sequence[Manifest], settings: DiversitySettings, *, n_threads: int | None = None
) -> DiversityReport:
    """Measure how diverse manifests are, each beside its own corpus.

    Raises
    ------
    ManifestError
        When there is none, one's corpus is not at hand, or one has too few cells to rarefy to.
    CorpusError
        When a corpus lacks a column, naming the nearest.
    EmbeddingError
        When a corpus lacks the embedding, or one holds a value that is not finite.
    """
    if not manifests:
        raise ManifestError("no manifest to measure; name one or more")
    grouped: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        grouped.setdefault(manifest.document.corpus.id, []).append(manifest)
    corpora = {key: _Side(of[0].corpus(), settings, n_threads) for key, of in grouped.items()}
    documents = [manifest.document for manifest in manifests]
    series, bases = name_series(documents), name_bases(documents)
    drafts = []
    n_cells = sum(side.n_cells(grouped[key]) for key, side in corpora.items())
    with progress("Diversity", n_cells) as advance:
        for key, side in corpora.items():
            if settings.has_corpus:
                drafts.append(side.measure_corpus(advance))
            drafts += [
                side.measure(manifest, series[manifest.document.id], advance) for manifest in grouped[key]
            ]
    return DiversityReport(
        settings,
        tuple(side.facts() for side in corpora.values()),
        tuple(_finished(drafts, settings)),
        bases,
    )


@dataclass
class _Draft:
    held: CellSet
    counts: dict[str, dict[str, int]]
    rare: dict[str, frozenset[str]]


@dataclass
class _Side:
    """A corpus, read once for all sets of its cells."""

    corpus: Corpus
    settings: DiversitySettings
    n_threads: int | None
    rare: dict[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.obs = self.corpus.columns(self.settings.columns)
        self.joinids = self.corpus.joinids()
        self.counts = composition(self.obs)
        below, n_cells = self.settings.rare_below, self.corpus.n_cells
        self.rare = {
            name: rare_labels(held, n_cells=n_cells, below=below) for name, held in self.counts.items()
        }
        space = self.settings.space
        self.space = None if space is None else Space.of(self.corpus, space, n_threads=self.n_threads)

    def n_cells(self, manifests: Sequence[Manifest]) -> int:
        """Return the cells of all sets, about: how far the progress bar goes."""
        n = sum(_n_cells(manifest, self.settings.split) for manifest in manifests)
        return n + self.corpus.n_cells * self.settings.has_corpus

    def facts(self) -> CorpusFacts:
        header, space = self.corpus.header, self.space
        return CorpusFacts(
            id=self.corpus.id,
            name=self.corpus.name,
            release=header.census.release,
            label=header.census.label,
            n_cells=self.corpus.n_cells,
            embedding=space.embedding.name if space else None,
            radius=space.radius if space else None,
            n_probes=space.probes.size if space and space.radius is not None else None,
        )

    def measure_corpus(self, advance: Callable[[int], None]) -> _Draft:
        held = CellSet(
            ref=f"corpus {self.corpus.name}",
            id=self.corpus.id,
            corpus=self.corpus.id,
            is_corpus=True,
            series="corpus",
            size=1.0,
            seed=None,
            split=None,
            n_cells=self.corpus.n_cells,
            n_elsewhere=0,
            labels={},
            space=self.space.of_corpus() if self.space else None,
        )
        advance(self.corpus.n_cells)
        return _Draft(held, self.counts, self.rare)

    def measure(self, manifest: Manifest, series: str, advance: Callable[[int], None]) -> _Draft:
        rows, split, n_elsewhere = self._rows(manifest)
        document, n_done = manifest.document, 0

        def step(n: int) -> None:
            nonlocal n_done
            n_done += n
            advance(n)

        held = CellSet(
            ref=manifest.ref,
            id=manifest.id,
            corpus=self.corpus.id,
            is_corpus=False,
            series=series,
            size=_size(document),
            seed=document.selection.seed,
            split=split,
            n_cells=rows.size,
            n_elsewhere=n_elsewhere,
            labels={},
            space=self.space.of_manifest(manifest.id, split, rows, advance=step) if self.space else None,
        )
        counts = composition(self.obs[rows])
        advance(_n_cells(manifest, self.settings.split) - n_done)
        return _Draft(held, counts, self.rare)

    def _rows(self, manifest: Manifest) -> tuple[NDArray[np.int64], Split | None, int]:
        """Return the rows of the cells that count, their split, and the cells from elsewhere."""
        cells, split = manifest.held_cells, self.settings.split
        own = cells.rows_of(CENSUS)
        rows = find_rows(self.joinids, cells.soma_joinid[own]).astype(np.int64, copy=False)
        if strangers := int((rows == ABSENT).sum()):
            raise ManifestError(
                f"{manifest.ref}: {strangers:,} of {rows.size:,} cells are not in corpus "
                f"{self.corpus.name!r}; see `curate manifests verify`"
            )
        if split is not None:
            of_split = cells.split[own] == SPLITS.index(split)
            rows, split = (rows[of_split], split) if of_split.any() else (rows, None)
        if rows.size == 0:
            raise ManifestError(f"{manifest.ref} has no cell of corpus {self.corpus.name!r} to measure")
        return rows, split, len(cells) - (own.stop - own.start)


def _size(document: ManifestDocument) -> float:
    """Return the share of the corpus' cells that was chosen: as it was asked for."""
    selection, n_corpus = document.selection, document.corpus.n_cells
    if selection.fraction is not None and selection.n_available in (None, n_corpus):
        return selection.fraction
    return document.n_cells / n_corpus


def _n_cells(manifest: Manifest, split: Split | None) -> int:
    document = manifest.document
    return document.splits.counts.get(split, 0) if split else document.n_cells


def _finished(drafts: Sequence[_Draft], settings: DiversitySettings) -> list[CellSet]:
    """Fill in the indices of labels: what they are rarefied to depends on the smallest set."""
    sizes = {
        name: {draft.held.ref: sum(draft.counts[name].values()) for draft in drafts}
        for name in settings.columns
    }
    finished = []
    for draft in drafts:
        labels = {}
        for name, counts in draft.counts.items():
            smallest = min(sizes[name], key=sizes[name].__getitem__)
            n = settings.rarefied_to or sizes[name][smallest]
            if n > sizes[name][smallest]:
                raise ManifestError(
                    f"{smallest} has {sizes[name][smallest]:,} cells, fewer than the {n:,} to rarefy to; "
                    "ask for fewer"
                )
            labels[name] = _label_diversity(counts, draft, name, n, settings)
        finished.append(replace(draft.held, labels=labels))
    return finished


def _label_diversity(
    counts: dict[str, int], draft: _Draft, name: str, n: int, settings: DiversitySettings
) -> LabelDiversity:
    numbers = np.array(sorted(counts.values()))
    return LabelDiversity(
        n_cells=int(numbers.sum()),
        n_labels=numbers.size,
        rarefied=rarefied_richness(numbers, n),
        rarefied_to=n,
        shannon_bits=shannon_bits(numbers),
        inverse_simpson=inverse_simpson(numbers),
        gini_simpson=gini_simpson(numbers),
        rare=rare_held(counts, draft.rare[name], n_cells=draft.held.n_cells, at_least=settings.rare_cells),
    )
