"""Diversity of cells by their vectors: the embedding of a corpus, opened once for all sets of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curate.build.diversity.coverage import choose_probes, summarise_distances, usual_radius
from curate.build.diversity.expression import expression_blocks
from curate.build.diversity.indices import SpaceDiversity
from curate.build.diversity.kept import Kept
from curate.build.diversity.neighbours import nearest_cells
from curate.build.diversity.vendi import Spectrum, blocks_of, spectrum, vendi_score
from curate.build.embeddings.embedding import Embedding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.document import Split

KEPT_FOLDER = "diversity"
METHOD = 1
"""Enters what is kept: another number when a computation changes."""
N_PROBES = 10_000
LEFT_OUT_FRACTION = 0.001

Features = Literal["embedding", "expression"]


@dataclass(frozen=True)
class SpaceSettings:
    """What is computed from vectors.

    Attributes
    ----------
    embedding
        Its name.
    vendi, coverage
        Whether they are computed.
    order
        Of the Vendi score.
    features
        What the Vendi score is of: the vectors of the embedding, or the scaled expression of its genes.
    n_probes
        Cells of the corpus from which the distance to a set is measured; None for all.
    radius
        Within which a cell is covered; None for `usual_radius`.
    left_out_fraction
        Of the farthest cells, by the partial Hausdorff distance.
    """

    embedding: str = "pca"
    vendi: bool = True
    coverage: bool = True
    order: float = 1.0
    features: Features = "embedding"
    n_probes: int | None = N_PROBES
    radius: float | None = None
    left_out_fraction: float = LEFT_OUT_FRACTION


@dataclass(frozen=True)
class Space:
    """The embedding of a corpus, and the cells from which distances are measured.

    Attributes
    ----------
    probes
        int64 [n_probes], rows of the corpus; empty without coverage.
    radius
        None without coverage.
    """

    corpus: Corpus
    embedding: Embedding
    settings: SpaceSettings
    probes: NDArray[np.int64]
    radius: float | None
    n_threads: int | None

    @classmethod
    def of(cls, corpus: Corpus, settings: SpaceSettings, *, n_threads: int | None = None) -> Space:
        """Open the embedding of a corpus; choose the cells to measure from, and the radius.

        Raises
        ------
        EmbeddingError
            When there is no such embedding, it does not fit, or gives no radius.
        """
        embedding = Embedding.open(corpus.embeddings_path / settings.embedding, corpus)
        if not settings.coverage:
            return cls(corpus, embedding, settings, np.empty(0, np.int64), None, n_threads)
        probes = choose_probes(corpus.identity(), settings.n_probes)
        radius = settings.radius
        if radius is None:
            radius = _usual_radius(corpus, embedding, probes, n_threads)
        return cls(corpus, embedding, settings, probes, radius, n_threads)

    def of_corpus(self) -> SpaceDiversity:
        """Measure all cells of the corpus: they cover themselves."""
        none = np.zeros(self.probes.size)
        return self._diversity(self._spectrum(self.corpus.id, None, None), none, is_sample=False)

    def of_manifest(
        self,
        manifest_id: str,
        split: Split | None,
        rows: NDArray[np.int64],
        *,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SpaceDiversity:
        """Measure the cells in some rows of the corpus.

        Parameters
        ----------
        manifest_id, split
            What they are, to know them again.
        advance
            Called with the number of rows that are done.
        """
        only_vendi = not self.settings.coverage
        found = self._spectrum(manifest_id, split, rows, advance if only_vendi else lambda n: None)
        is_sample = self.probes.size < self.corpus.n_cells
        return self._diversity(found, self._distance(manifest_id, split, rows, advance), is_sample=is_sample)

    def _diversity(
        self, found: Spectrum | None, distance: NDArray[np.float64], *, is_sample: bool
    ) -> SpaceDiversity:
        coverage = None
        if self.radius is not None:
            left_out = self.settings.left_out_fraction
            coverage = summarise_distances(
                distance, radius=self.radius, left_out_fraction=left_out, is_sample=is_sample
            )
        return SpaceDiversity(
            vendi=None if found is None else vendi_score(found, order=self.settings.order),
            n_without_direction=0 if found is None else found.n_without_direction,
            coverage=coverage,
        )

    def _spectrum(
        self,
        of: str,
        split: Split | None,
        rows: NDArray[np.int64] | None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> Spectrum | None:
        if not self.settings.vendi:
            return None

        def make() -> dict[str, NDArray[Any]]:
            found = spectrum(self._blocks(rows), n_threads=self.n_threads or 2, advance=advance)
            return {
                "eigenvalues": found.eigenvalues,
                "n": np.array([found.n_cells, found.n_without_direction]),
            }

        key = {"what": "spectrum", "features": self.settings.features, "of": of, "split": split}
        arrays = _kept(self.corpus, self.embedding, key, make)
        return Spectrum(arrays["eigenvalues"], *arrays["n"].tolist())

    def _blocks(self, rows: NDArray[np.int64] | None) -> Iterator[NDArray[np.float32]]:
        if self.settings.features == "expression":
            return expression_blocks(self.corpus, self.embedding, rows)
        return blocks_of(self.embedding.values, rows)

    def _distance(
        self, of: str, split: Split | None, rows: NDArray[np.int64], advance: Callable[[int], None]
    ) -> NDArray[np.float64]:
        if not self.settings.coverage:
            return np.empty(0)

        def make() -> dict[str, NDArray[Any]]:
            _, distance = nearest_cells(
                self.embedding.values, rows, self.probes, n_threads=self.n_threads, advance=advance
            )
            return {"distance": distance}

        key = {"what": "distance", "of": of, "split": split, "n_probes": self.probes.size}
        return _kept(self.corpus, self.embedding, key, make)["distance"]


def _usual_radius(
    corpus: Corpus, embedding: Embedding, probes: NDArray[np.int64], n_threads: int | None
) -> float:
    def make() -> dict[str, NDArray[Any]]:
        return {"radius": np.array([usual_radius(embedding.values, probes, n_threads=n_threads)])}

    key = {"what": "radius", "of": corpus.id, "n_probes": probes.size}
    return float(_kept(corpus, embedding, key, make)["radius"][0])


def _kept(
    corpus: Corpus, embedding: Embedding, key: dict[str, Any], make: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return what was computed before from the same values, else compute it."""
    decided_by = key | {"method": METHOD, "embedding": embedding.id, "values": embedding.header.sha256}
    return Kept(corpus.path / KEPT_FOLDER).arrays(decided_by, make)
