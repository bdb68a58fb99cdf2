"""The cells of a later corpus that an earlier one does not know, as a manifest to evaluate on.

1. candidates: the cells of B that pass the filter;
2. known: those that stand in A, by identity or by content (`curate.build.known`);
3. exclusions, each counted: known by identity, too few genes to tell, known by content, a donor of A;
4. a draw by cell keys, where fewer are asked for;
5. the manifest, and a report of what became of each dataset of B (`curate.build.holdout_report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.builder import OBS_COLUMNS
from curate.build.candidates import find_candidates
from curate.build.holdout_report import DatasetReport, report_datasets
from curate.build.known import By, find_known
from curate.build.requests import cells_of_fraction
from curate.build.selection import check_n
from curate.build.splits.cells import assign_splits
from curate.corpus.copies import MIN_GENES
from curate.errors import SelectionError
from curate.identity import cell_keys
from curate.manifests.document import CENSUS, SPLITS, ExclusionRecord, SelectionRecord, SplitRecord
from curate.manifests.write import write_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.known import Known
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry

ALL_TEST = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Holdout:
    """What was written down, and what was found on the way.

    Attributes
    ----------
    manifest
        The cells to evaluate on.
    by
        What cells were compared by.
    datasets
        What became of each dataset of B, new ones first.
    n_new
        Cells that A does not know, before any draw.
    n_donor_id_shared
        Of these, cells whose donor_id A has in another dataset: perhaps the same person, perhaps not.
    notes
        What could not be compared, and why.
    """

    manifest: Manifest
    by: tuple[By, ...]
    datasets: tuple[DatasetReport, ...]
    n_new: int
    n_donor_id_shared: int
    notes: tuple[str, ...]


def holdout(
    new_since: Corpus,
    corpus: Corpus,
    *,
    registry: Registry,
    by: Sequence[By] | None = None,
    where: str | None = None,
    min_genes: int = MIN_GENES,
    shared_genes: bool = False,
    unseen_donors: bool = False,
    fraction: float | None = None,
    n_cells: int | None = None,
    seed: int = 0,
    split_ratios: Sequence[float] = ALL_TEST,
    split_seed: int = 0,
    name: str | None = None,
) -> Holdout:
    """Write down the cells of a corpus that an earlier corpus does not hold.

    Parameters
    ----------
    new_since
        The earlier corpus, A: what a model may have seen.
    corpus
        The later one, B.
    by
        "identity", "content" or both; by default whatever both corpora allow, and `notes` say what not.
    where
        Only cells of B that match.
    min_genes
        Cells with counts of fewer of the genes compared cannot be told by content, and are left out.
    shared_genes
        Compare content over the genes that every dataset of both measured. Without it a cell that A holds in
        a dataset of fewer genes is not recognised in B.
    unseen_donors
        Leave out cells of donors that A has cells of. A donor is (dataset_id, donor_id).
    fraction, n_cells
        Draw so many of the new cells, by their keys at `seed`; all of them when neither is given.
    split_ratios, split_seed
        As in `assign_splits`; by default every cell is a test cell.
    name
        Of the manifest; "holdout-B-since-A" by default.

    Returns
    -------
    Holdout
        Memory: about 60 bytes a cell of both corpora.

    Raises
    ------
    SelectionError
        When nothing is new, both are one corpus, organisms differ, cells cannot be compared in the way asked
        for, or a size is out of range.
    FilterError
        When `where` does not parse or names an absent column.
    CensusError, CorpusError
        When counts are to be read and cannot be.
    """
    _check(new_since, corpus, fraction=fraction, n_cells=n_cells)
    candidates = find_candidates(corpus, where)
    rows = np.arange(corpus.n_cells) if candidates.rows is None else candidates.rows
    known = find_known(new_since, corpus, rows, by=by, min_genes=min_genes, shared_genes=shared_genes)
    donors = _Donors.of(new_since, corpus, rows)
    is_new, exclusions = _exclude(known, donors if unseen_donors else None, new_since, min_genes=min_genes)
    datasets = report_datasets(new_since, corpus, rows, known, is_new)
    if not is_new.any():
        raise SelectionError(_nothing(new_since, corpus, rows.size, exclusions, where))
    new = rows[is_new]
    chosen = _draw(new, corpus, fraction=fraction, n_cells=n_cells, seed=seed)
    is_drawn = fraction is not None or n_cells is not None
    obs = corpus.columns(OBS_COLUMNS, rows=chosen)
    splits = assign_splits(np.asarray(corpus.identity()[chosen]), ratios=split_ratios, seed=split_seed)
    shared = int((donors.id_in_a & ~donors.in_a)[is_new].sum())
    manifest = write_manifest(
        registry,
        name or f"holdout-{corpus.name}-since-{new_since.name}",
        corpus=corpus,
        cells=pl.DataFrame(
            {
                "source": pl.repeat(CENSUS, chosen.size, eager=True),
                "soma_joinid": obs["soma_joinid"],
                "split": pl.Series(splits).cat.to(pl.Enum(SPLITS)),
            }
        ),
        obs=obs.drop("soma_joinid"),
        selection=SelectionRecord(
            strategy="holdout",
            parameters={
                "new_since": new_since.id,
                "by": list(known.by),
                "min_genes": min_genes if "content" in known.by else None,
                "shared_genes": shared_genes,
                "genes": known.genes,
                "unseen_donors": unseen_donors,
            },
            seed=seed if is_drawn else None,
            fraction=fraction,
            where=where,
            n_available=new.size,
            notes={
                "new_since": f"{new_since.name} (release {new_since.header.census.release})",
                **_kinds(datasets),
                "n_donor_id_shared": shared,
                **({"notice": "; ".join(known.notes)} if known.notes else {}),
            },
        ),
        splits=SplitRecord(ratios=dict(zip(SPLITS, split_ratios, strict=True)), seed=split_seed),
        exclusions=exclusions,
    )
    return Holdout(
        manifest=manifest,
        by=known.by,
        datasets=datasets,
        n_new=new.size,
        n_donor_id_shared=shared,
        notes=known.notes,
    )


def _check(a: Corpus, b: Corpus, *, fraction: float | None, n_cells: int | None) -> None:
    if fraction is not None and n_cells is not None:
        raise SelectionError("give either a fraction or a number of cells")
    if a.id == b.id:
        same = f"{b.name!r} is" if a.name == b.name else f"{a.name!r} and {b.name!r} are"
        raise SelectionError(
            f"{same} one corpus ({b.id[:12]}, {b.n_cells:,} cells): none of its cells is new; name an "
            "earlier corpus with --new-since"
        )
    organisms = a.header.organism, b.header.organism
    if organisms[0] != organisms[1]:
        raise SelectionError(
            f"corpus {a.name!r} is of {organisms[0]}, {b.name!r} of {organisms[1]}: every cell would be new; "
            "name corpora of one organism"
        )


@dataclass(frozen=True)
class _Donors:
    """Of each candidate of B, bool [n]: whether A has its donor, and whether A has its donor_id anywhere."""

    in_a: NDArray[np.bool_]
    id_in_a: NDArray[np.bool_]

    @classmethod
    def of(cls, a: Corpus, b: Corpus, rows: NDArray[np.int64]) -> _Donors:
        names = ["dataset_id", "donor_id"]
        of_a = a.columns(names).unique().with_columns(pl.all().cast(pl.String), in_a=True)
        ids = of_a.select("donor_id", id_in_a=True).unique()
        cells = b.columns(names, rows=rows)
        # Decided once a donor, not once a cell.
        donors = cells.unique().with_columns(pl.all().cast(pl.String).name.suffix("_text"))
        for held, on in ((of_a, names), (ids, ["donor_id"])):
            texts = [f"{name}_text" for name in on]
            donors = donors.join(held, left_on=texts, right_on=on, how="left")
        joined = cells.join(donors, on=names, how="left", maintain_order="left", nulls_equal=True)
        in_a, id_in_a = (joined[name].fill_null(value=False).to_numpy() for name in ("in_a", "id_in_a"))
        return cls(in_a, id_in_a)


def _exclude(
    known: Known, donors: _Donors | None, a: Corpus, *, min_genes: int
) -> tuple[NDArray[np.bool_], tuple[ExclusionRecord, ...]]:
    """Return which candidates are new, and what was left out for which reason."""
    reasons: list[tuple[str, NDArray[np.bool_], dict[str, Any]]] = []
    if "identity" in known.by:
        reasons.append(("known by identity", known.by_identity, {}))
    if "content" in known.by:
        reasons.append(("too few genes to tell", known.too_few, {"min_genes": min_genes}))
        reasons.append(("known by content", known.by_content, {}))
    if donors is not None:
        reasons.append(("donor known", donors.in_a, {}))
    is_new = np.ones(known.by_identity.size, np.bool_)
    exclusions = []
    for reason, matches, parameters in reasons:
        n = int((is_new & matches).sum())
        exclusions.append(
            ExclusionRecord(reason=reason, n_cells=n, parameters={"corpus": a.id, **parameters})
        )
        is_new &= ~matches
    return is_new, tuple(exclusions)


def _draw(
    new: NDArray[np.int64], corpus: Corpus, *, fraction: float | None, n_cells: int | None, seed: int
) -> NDArray[np.int64]:
    """Return the rows of the new cells with the smallest keys, ascending."""
    if fraction is None and n_cells is None:
        return new
    if seed < 0:
        raise SelectionError(f"seed {seed} is negative; give 0 or more")
    n = n_cells if fraction is None else cells_of_fraction(fraction, new.size)
    assert n is not None
    check_n(n, new.size)
    keys = cell_keys(np.asarray(corpus.identity()[new]), seed=seed, purpose="select")
    order = np.lexsort((new, keys))
    return np.sort(new[order[:n]])


def _nothing(a: Corpus, b: Corpus, n: int, exclusions: Sequence[ExclusionRecord], where: str | None) -> str:
    matching = f" that match {where!r}" if where else ""
    reasons = ", ".join(f"{each.n_cells:,} {each.reason}" for each in exclusions if each.n_cells)
    return (
        f"none of the {n:,} cells of corpus {b.name!r}{matching} is new since {a.name!r}: {reasons}; "
        "name an earlier corpus, or a later one with --in"
    )


def _kinds(datasets: Sequence[DatasetReport]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for each in datasets:
        name = f"n_datasets_{each.kind.replace('-', '_')}"
        counted[name] = counted.get(name, 0) + 1
    return counted
