"""What was found: counts of cells that evaluation sets and a manifest share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.manifests.document import CENSUS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from curate.build.leakage.guard import Method


def why_not_compared(reasons: Sequence[str | None]) -> str | None:
    """Return why none of some methods compared; None when one of them did, or none was asked.

    Parameters
    ----------
    reasons
        Of each method, why it did not compare; None when it did.
    """
    return None if None in reasons or not reasons else reasons[-1]


@dataclass(frozen=True)
class MethodCount:
    """What one method found.

    Attributes
    ----------
    n_cells, n_evaluation_cells
        Cells of the manifest that are of the corpus, or of one source, and the cells of the evaluation set
        that have one among them.
    splits
        The former by split.
    why_not
        Why the method could not compare; None when it could.
    """

    n_cells: int
    n_evaluation_cells: int
    splits: dict[str, int]
    why_not: str | None


@dataclass(frozen=True)
class SourceReport:
    """What one evaluation set shares with the spike-ins of one source.

    Attributes
    ----------
    n_cells
        Cells of the manifest that are of the source.
    n_shared_cells
        Those that are cells of the evaluation set, by any method for cells.
    methods
        Empty when nothing could be compared.
    n_too_few, undecidable_fraction, gene_sets
        As in `EvaluationReport`.
    why_not
        Why they could not be compared; None when they were.
    """

    n_cells: int
    n_shared_cells: int = 0
    methods: Mapping[Method, MethodCount] = field(default_factory=dict)
    n_too_few: int = 0
    undecidable_fraction: float | None = None
    gene_sets: tuple[dict[str, Any], ...] = ()
    why_not: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return vars(self) | {"methods": {method: vars(count) for method, count in self.methods.items()}}


@dataclass(frozen=True)
class EvaluationReport:
    """What one evaluation set shares with a manifest.

    Attributes
    ----------
    methods
        What was found among the cells of the corpus.
    sources
        By source, what was found among its spike-ins.
    n_shared_cells
        Cells of the manifest, spike-ins among them, that are cells of the evaluation set, by any method for
        cells.
    n_too_few
        Cells of the evaluation set with too few genes or counts, of those that it shares with the corpus, to
        be decided by content.
    undecidable_fraction
        Share of its cells that are as like their neighbours as copies are; of a sample, the worst gene set.
    gene_sets
        How the content was compared: shared genes, thresholds, false hits to expect.
    donors
        dataset_id, donor_id, n_cells, and a count for each method, most cells first.
    pairs
        source, soma_joinid (of a spike-in: the row in its source), split, evaluation_cell, score, nearest,
        is_exact, is_near of each pair of like content.
    """

    name: str
    fingerprint: str
    n_cells: int
    n_genes: int
    n_mapped: int
    was_normalised: bool
    n_without_counts: int
    methods: dict[Method, MethodCount]
    sources: dict[str, SourceReport]
    n_shared_cells: int
    n_too_few: int
    undecidable_fraction: float | None
    gene_sets: tuple[dict[str, Any], ...]
    donors: pl.DataFrame
    pairs: pl.DataFrame

    def n_found(self, methods: Sequence[Method]) -> int:
        """Return the largest number of cells, spike-ins among them, that one of these methods found."""
        held = [self.methods, *(source.methods for source in self.sources.values())]
        return max((sum(each[name].n_cells for each in held if name in each) for name in methods), default=0)

    def not_compared(self, methods: Sequence[Method]) -> dict[str, str]:
        """Return which cells none of these methods could compare, by source or CENSUS, and why.

        A method that was not asked for does not count.
        """
        found = {name: each.why_not for name, each in self.sources.items() if each.why_not is not None}
        held = {CENSUS: self.methods} | {name: each.methods for name, each in self.sources.items()}
        for name, counts in held.items():
            why_not = why_not_compared([counts[method].why_not for method in methods if method in counts])
            if why_not is not None:
                found[name] = why_not
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it; pairs are left to `write_pairs`."""
        held = {
            name: value
            for name, value in vars(self).items()
            if name not in ("donors", "pairs", "methods", "sources")
        }
        methods = {method: vars(count) for method, count in self.methods.items()}
        sources = {name: each.to_json() for name, each in self.sources.items()}
        return held | {"methods": methods, "sources": sources, "donors": self.donors.to_dicts()}


@dataclass(frozen=True)
class LeakageReport:
    """What evaluation sets share with a manifest.

    Attributes
    ----------
    n_cells
        Cells of the manifest that are of its corpus.
    n_spike_ins
        Cells of spike-ins, by source.
    n_shared_cells
        Cells of the manifest, spike-ins among them, that are cells of any of the evaluation sets.
    """

    manifest: str
    id: str
    n_cells: int
    n_spike_ins: dict[str, int]
    n_shared_cells: int
    evaluations: tuple[EvaluationReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return vars(self) | {"evaluations": [each.to_json() for each in self.evaluations]}

    def n_found(self, methods: Sequence[Method]) -> int:
        """Return the largest number of cells that one of these methods found in one evaluation set."""
        return max((each.n_found(methods) for each in self.evaluations), default=0)
