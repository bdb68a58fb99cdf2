"""The same cell by name, and the same donor: what obs alone can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.identity import identity_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.leakage.compared import Compared, ReleaseJoinids
    from curate.build.leakage.evaluation import EvaluationSet

NO_DONORS = frozenset(
    ("", "unknown", "na", "n/a", "nan", "none", "null", "<na>", "pooled", "pool", "donor", "not applicable")
)
"""Donor ids, in lower case, that name nobody."""


@dataclass(frozen=True)
class Same:
    """What is the same on both sides.

    Attributes
    ----------
    cells, evaluation
        bool [n_cells], the cells that were compared and those of the evaluation set.
    why_not
        Why it could not be compared; then neither side has any.
    """

    cells: NDArray[np.bool_]
    evaluation: NDArray[np.bool_]
    why_not: str | None = None


def same_joinids(cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_] | None = None) -> Same:
    """Find the cells of the evaluation set by (dataset_id, observation_joinid), among the wanted cells.

    Where the corpus' release has no observation_joinid, by soma_joinid, if both are of the same Census.
    """
    of_release = cells.release_joinids()
    if of_release is not None:
        return _same_release(cells, of_release, evaluation, wanted)
    missing = [name for name in ("observation_joinid", "dataset_id") if name not in evaluation.obs.columns]
    if missing:
        return _nothing(cells, evaluation, f"it has no obs column {' and no '.join(missing)}")
    obs = evaluation.obs
    known = (obs["dataset_id"].is_not_null() & obs["observation_joinid"].is_not_null()).to_numpy()
    identities = np.zeros(evaluation.n_cells, np.uint64)
    if known.any():
        held = obs.filter(known)
        identities[known] = identity_hash(held["dataset_id"], held["observation_joinid"])
    ours = cells.identity()
    return Same(
        cells=_wanted(np.isin(ours, np.unique(identities[known])), wanted),
        evaluation=known & np.isin(identities, ours if wanted is None else ours[wanted]),
    )


def same_donors(cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_] | None = None) -> Same:
    """Find the wanted cells whose (dataset_id, donor_id) stands on both sides."""
    return _same_by(cells, evaluation, ["dataset_id", "donor_id"], wanted)


def possible_donors(
    cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_] | None = None
) -> Same:
    """Find the wanted cells whose donor_id stands on both sides, but not in the same dataset.

    Donor ids are unique inside a dataset only: these may be the same people, or not.
    """
    by_id = _same_by(cells, evaluation, ["donor_id"], wanted)
    if by_id.why_not is not None or "dataset_id" not in evaluation.obs.columns:
        return by_id
    sure = same_donors(cells, evaluation, wanted)
    possible = by_id.cells & ~sure.cells
    # The other side of these cells alone: of who stands under two datasets there, one may be sure here.
    return Same(possible, _same_by(cells, evaluation, ["donor_id"], possible).evaluation)


def _same_release(
    cells: Compared,
    of_release: ReleaseJoinids,
    evaluation: EvaluationSet,
    wanted: NDArray[np.bool_] | None,
) -> Same:
    if evaluation.release_joinids is None:
        why = "the corpus' release has no observation_joinid, and soma_joinids hold inside one Census only"
        return _nothing(cells, evaluation, why)
    (content, joinids), (our_content, ours) = evaluation.release_joinids, of_release
    if content != our_content:
        return _nothing(cells, evaluation, "neither side has observation_joinids, and they are two Censuses")
    ours_wanted = ours if wanted is None else ours[wanted]
    return Same(_wanted(np.isin(ours, joinids), wanted), np.isin(joinids, ours_wanted))


def _same_by(
    cells: Compared, evaluation: EvaluationSet, columns: list[str], wanted: NDArray[np.bool_] | None
) -> Same:
    missing = [name for name in columns if name not in evaluation.obs.columns]
    if missing:
        return _nothing(cells, evaluation, f"it has no obs column {' and no '.join(missing)}")
    ours = _keys(cells.columns(columns))
    theirs = _keys(evaluation.obs.select(columns))
    held = ours if wanted is None else ours.filter(pl.Series(wanted))
    shared = held.unique().join(theirs.unique(), on=columns, how="inner").drop_nulls()
    if shared.is_empty():
        return _nothing(cells, evaluation, None)
    marked = shared.with_columns(is_shared=pl.lit(value=True))
    return Same(_wanted(_marked(ours, marked, columns), wanted), _marked(theirs, marked, columns))


def _keys(frame: pl.DataFrame) -> pl.DataFrame:
    donors = frame["donor_id"].cast(pl.String)
    # Decided once a value, not once a cell.
    nobody = [name for name in donors.unique().drop_nulls() if name.strip().lower() in NO_DONORS]
    named = pl.when(pl.col("donor_id").is_in(nobody)).then(None).otherwise(pl.col("donor_id"))
    return frame.with_columns(pl.all().cast(pl.String)).with_columns(donor_id=named)


def _marked(side: pl.DataFrame, marked: pl.DataFrame, columns: list[str]) -> NDArray[np.bool_]:
    found = side.join(marked, on=columns, how="left", maintain_order="left")["is_shared"]
    mask: NDArray[np.bool_] = found.fill_null(value=False).to_numpy()
    return mask


def _wanted(found: NDArray[np.bool_], wanted: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return found if wanted is None else found & wanted


def _nothing(cells: Compared, evaluation: EvaluationSet, why_not: str | None) -> Same:
    return Same(np.zeros(cells.n_cells, np.bool_), np.zeros(evaluation.n_cells, np.bool_), why_not)
