"""Compare two manifests: their cells, settings, composition and diversity.

1. cells: by soma_joinid inside one corpus, by identity across two;
2. settings that differ;
3. how the labels of every obs column moved;
4. diversity side by side.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.build.composition import composition
from curate.build.diversity.labels import shannon_bits
from curate.errors import ManifestError
from curate.manifests.cells_diff import CellsDiff, diff_cells
from curate.manifests.page import assignments
from curate.manifests.settings import SettingChange, changed_settings
from curate.quantiles import kolmogorov_smirnov, quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from curate.manifests.manifest import Manifest

SOURCE = "source"


@dataclass(frozen=True)
class Side:
    """One of the two manifests.

    Attributes
    ----------
    exclusions
        Cells that were left out by each reason, with what it was asked; none before it had taken them.
    """

    ref: str
    id: str
    corpus: str
    corpus_id: str
    label: str | None
    n_cells: int
    n_donors: int
    diversity: dict[str, dict[str, Any]]
    splits: dict[str, int]
    exclusions: dict[str, int]


@dataclass(frozen=True)
class Mover:
    """A label whose share of the cells differs.

    Attributes
    ----------
    share_a, share_b
        Of all cells of the manifest.
    points
        100 (share_b - share_a): above 0 is enriched in B.
    fold
        share_b / share_a; None where A has no such cell.
    """

    label: str
    n_a: int
    n_b: int
    share_a: float
    share_b: float
    points: float
    fold: float | None

    @property
    def fold_shown(self) -> str:
        """How many times as large the share is in B: "1.31x", "new" or "gone"."""
        if self.fold is None:
            return "new"
        return "gone" if self.n_b == 0 else f"{self.fold:.2f}x"


@dataclass(frozen=True)
class CompositionShift:
    """How the labels of an obs column differ.

    Attributes
    ----------
    jensen_shannon_bits
        Divergence between the two distributions of labels: 0 when equal, 1 when they share no label.
    multivalued
        Some cells carry several labels ("A || B") and count for each: shares may add to more than 1.
    movers
        Every label, the largest difference in points first, ties by label.
    """

    column: str
    jensen_shannon_bits: float
    n_labels_a: int
    n_labels_b: int
    multivalued: bool
    movers: tuple[Mover, ...]


@dataclass(frozen=True)
class NumberShift:
    """How the values of an obs column of numbers differ.

    Attributes
    ----------
    n_missing_a, n_missing_b
        Cells without a value, as those of a spike-in are.
    quantiles_a, quantiles_b
        "least", "5%", …, "most" → value; empty when no cell has one.
    kolmogorov_smirnov
        Largest distance between the cumulative shares: 0 when equal, 1 when they do not overlap; None when
        one side has no values.
    """

    column: str
    n_missing_a: int
    n_missing_b: int
    quantiles_a: dict[str, float]
    quantiles_b: dict[str, float]
    kolmogorov_smirnov: float | None


@dataclass(frozen=True)
class ManifestDiff:
    """What differs between manifests A and B.

    Attributes
    ----------
    cells
        None when cells of the two cannot be told to be the same; `notes` say why.
    notes
        What a reader must know: two corpora, cells that could not be compared.
    """

    a: Side
    b: Side
    notes: tuple[str, ...]
    cells: CellsDiff | None
    settings: tuple[SettingChange, ...]
    composition: tuple[CompositionShift, ...]
    numbers: tuple[NumberShift, ...] = ()

    @property
    def same(self) -> bool:
        """Whether both have the same content."""
        return self.a.id == self.b.id

    def to_json(self, *, top: int | None = None) -> dict[str, Any]:
        """Return the diff as JSON holds it.

        Parameters
        ----------
        top
            Only the largest movers of each column.
        """
        cut = [replace(shift, movers=shift.movers[:top]) for shift in self.composition]
        return asdict(replace(self, composition=tuple(cut))) | {"same": self.same}


def diff(a: Manifest, b: Manifest, *, columns: Sequence[str] | None = None) -> ManifestDiff:
    """Compare manifest `b` with manifest `a`.

    Parameters
    ----------
    columns
        Obs columns to compare, by default those in the manifests' headers. Any other is read from the corpus.

    Returns
    -------
    ManifestDiff
        Memory: some 40 bytes a cell of both.

    Raises
    ------
    ManifestError
        When cells.parquet of one is damaged, or a column is asked for that only the corpus has and it is not
        at hand.
    CorpusError
        When the corpus has no such column.
    """
    cells, notes = diff_cells(a, b)
    compared = [_compare(a, b, column) for column in columns or _shared_columns(a, b)]
    return ManifestDiff(
        a=_side(a),
        b=_side(b),
        notes=notes,
        cells=cells,
        settings=changed_settings(a.document, b.document),
        composition=tuple(each for each in compared if isinstance(each, CompositionShift)),
        numbers=tuple(each for each in compared if isinstance(each, NumberShift)),
    )


def shift(
    column: str, counts_a: Mapping[str, int], counts_b: Mapping[str, int], *, n_a: int, n_b: int
) -> CompositionShift:
    """Return how the labels of a column moved, from the cells per label and the cells of each side."""
    movers = [
        _mover(label, counts_a.get(label, 0), counts_b.get(label, 0), n_a=n_a, n_b=n_b)
        for label in {**counts_a, **counts_b}
    ]
    return CompositionShift(
        column=column,
        jensen_shannon_bits=jensen_shannon_bits(counts_a, counts_b),
        n_labels_a=len(counts_a),
        n_labels_b=len(counts_b),
        multivalued=sum(counts_a.values()) > n_a or sum(counts_b.values()) > n_b,
        movers=tuple(sorted(movers, key=lambda mover: (-abs(mover.points), mover.label))),
    )


def number_shift(column: str, a: pl.Series, b: pl.Series) -> NumberShift:
    """Return how the values of a column of numbers differ, from the values of the cells of each side."""
    of_a, of_b = (values.drop_nulls().to_numpy() for values in (a, b))
    return NumberShift(
        column=column,
        n_missing_a=a.null_count(),
        n_missing_b=b.null_count(),
        quantiles_a=quantiles(of_a),
        quantiles_b=quantiles(of_b),
        kolmogorov_smirnov=kolmogorov_smirnov(of_a, of_b),
    )


def jensen_shannon_bits(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Return the Jensen-Shannon divergence, in bits, between two counts of labels.

    References
    ----------
    Lin, IEEE Transactions on Information Theory 37 (1991).
    """
    n_a, n_b = sum(a.values()), sum(b.values())
    mixture = [a.get(label, 0) / n_a + b.get(label, 0) / n_b for label in {**a, **b}]
    divergence = shannon_bits(mixture) - (shannon_bits(list(a.values())) + shannon_bits(list(b.values()))) / 2
    return min(max(divergence, 0.0), 1.0)


def _mover(label: str, in_a: int, in_b: int, *, n_a: int, n_b: int) -> Mover:
    share_a, share_b = in_a / n_a, in_b / n_b
    return Mover(
        label=label,
        n_a=in_a,
        n_b=in_b,
        share_a=share_a,
        share_b=share_b,
        points=100 * (share_b - share_a),
        fold=share_b / share_a if in_a else None,
    )


def _side(manifest: Manifest) -> Side:
    document = manifest.document
    return Side(
        ref=manifest.ref,
        id=manifest.id,
        corpus=document.corpus.name,
        corpus_id=document.corpus.id,
        label=document.corpus.label,
        n_cells=document.n_cells,
        n_donors=document.n_donors,
        diversity={column: held.model_dump() for column, held in document.diversity.items()},
        splits={str(split): n for split, n in document.splits.counts.items()},
        exclusions={
            f"{each.reason} {assignments(each.parameters)}".strip(): each.n_cells
            for each in document.exclusions
        },
    )


def _shared_columns(a: Manifest, b: Manifest) -> list[str]:
    spiked = [SOURCE] if a.document.spike_ins or b.document.spike_ins else []
    return spiked + [column for column in a.document.composition if column in b.document.composition]


def _compare(a: Manifest, b: Manifest, column: str) -> CompositionShift | NumberShift:
    of_a, of_b = _counts(a, column), _counts(b, column)
    if isinstance(of_a, dict) and isinstance(of_b, dict):
        return shift(column, of_a, of_b, n_a=a.document.n_cells, n_b=b.document.n_cells)
    if isinstance(of_a, dict) or isinstance(of_b, dict):
        raise ManifestError(f"column {column!r} holds numbers in one corpus and labels in the other")
    return number_shift(column, of_a, of_b)


def _counts(manifest: Manifest, column: str) -> dict[str, int] | pl.Series:
    """Return the cells of each label of a column, or the values of a column of numbers."""
    document = manifest.document
    if column == SOURCE:
        return manifest.held_cells.sources
    if column in document.composition:
        return document.composition[column]
    values = manifest.obs([column])[column]
    return values if values.dtype.is_numeric() else composition(values.to_frame())[column]
