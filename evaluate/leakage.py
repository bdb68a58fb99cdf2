"""Whether evaluation data hold cells that a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from curate.build.leakage.guard import CELL_METHODS
from curate.build.leakage.near import KEPT_A_CELL
from curate.build.leakage.report import leakage
from curate.errors import EvaluationError, LeakageError
from curate.identity import identity_hash
from curate.manifests.document import CENSUS
from curate.manifests.obs import corpus_rows
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.build.leakage.found import EvaluationReport
    from curate.build.leakage.guard import Method
    from curate.corpus import Corpus
    from curate.evaluate.data import EvaluationData
    from curate.manifests.document import Split
    from curate.manifests.manifest import Manifest

SEEN: Final[tuple[Split, ...]] = ("train", "val")
"""Cells of these splits decide a model: it is fitted on the first, and kept by its loss on the second."""
NONE: Final = "none"


@dataclass(frozen=True, eq=False)
class Leaked:
    """Cells that evaluation data and a manifest's training or validation cells share.

    Attributes
    ----------
    cells
        bool [n_cells] of the evaluation data; those that could be told one by one.
    n_seen
        Cells of the manifest that are among the evaluation data.
    n_untold, n_compared
        Cells that detect too few of the genes of some training cells to be told from them, of those that
        were compared: all of a file, whatever is evaluated on.
    is_all
        Whether no more of the evaluation data can be copies; of a training cell with many, only the most
        alike are found.
    why_not
        Why it could not be found out; None when it could.
    """

    cells: NDArray[np.bool_]
    n_seen: int
    why_not: str | None = None
    n_untold: int = 0
    n_compared: int = 0
    is_all: bool = True


def leaked(data: EvaluationData, manifest: Manifest) -> Leaked:
    """Look for cells of the evaluation data among those that a model of the manifest was fitted on.

    Cells of the same Census are compared by soma_joinid and by equal counts, for a Census holds some cells
    twice; those of a file by name, by equal counts and by nearly the same detected genes (`curate leakage`).

    Raises
    ------
    SourceError, CensusError
        When the data or the corpus cannot be read.
    """
    none = np.zeros(data.n_cells, np.bool_)
    corpus = manifest.find_corpus()
    if corpus is None:
        return Leaked(none, 0, f"the corpus of {manifest.ref} is not at hand")
    if data.identity is None:
        found = _by_content(data, manifest, data.path, data.obs_names, CELL_METHODS)
        cells = found.cells | _by_name(data, manifest, corpus)
        # Of some cells of a file, those of the whole that are found by name say nothing.
        n_of_file = found.n_seen if data.n_cells == found.n_compared else 0
        return replace(found, cells=cells, n_seen=max(int(cells.sum()), n_of_file))
    if data.census != manifest.document.corpus.census:
        return Leaked(none, 0, f"it is of another Census than {manifest.ref}")
    is_held = _by_joinid(data.identity, manifest)
    with TemporaryDirectory() as folder:
        path, names = Path(folder) / "cells.h5ad", pl.Series(np.arange(data.n_cells)).cast(pl.String)
        replace(data, obs_names=names).write(path)
        copies = _by_content(data, manifest, path, names, ("exact",))
    cells = is_held | copies.cells
    # What no method can compare by content is compared by joinid all the same.
    n_untold = data.n_cells if copies.why_not is not None else copies.n_untold
    return Leaked(cells, int(cells.sum()), None, n_untold, data.n_cells, copies.is_all)


def _by_joinid(identity: pl.DataFrame, manifest: Manifest) -> NDArray[np.bool_]:
    held = manifest.cells().filter(pl.col("split").cast(pl.String).is_in(list(SEEN)))
    seen = held.select(pl.col("source").cast(pl.String), pl.col("soma_joinid").cast(pl.Int64))
    found = np.zeros(identity.height, np.bool_)
    at = identity.with_row_index().join(seen, on=["source", "soma_joinid"], how="semi")
    found[at["index"].to_numpy()] = True
    return found


def _by_name(data: EvaluationData, manifest: Manifest, corpus: Corpus) -> NDArray[np.bool_]:
    """Tell which cells have the dataset_id and observation_joinid of cells that training saw."""
    found, names = np.zeros(data.n_cells, np.bool_), ("dataset_id", "observation_joinid")
    if corpus.header.identity == "release+soma_joinid" or not set(names) <= set(data.obs.columns):
        return found
    obs = data.obs.select(pl.col(names).cast(pl.String))
    known = ~obs.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
    held = manifest.held_cells
    at = held.rows_of(CENSUS)
    seen = held.soma_joinid[at][held.split[at] < len(SEEN)]
    identities = corpus.identity()[corpus_rows(corpus, seen)]
    found[known] = np.isin(identity_hash(*obs.filter(known).get_columns()), identities)
    return found


def _by_content(
    data: EvaluationData, manifest: Manifest, path: Path, names: pl.Series, methods: tuple[Method, ...]
) -> Leaked:
    """Look for the cells of a file, of these names."""
    none = np.zeros(data.n_cells, np.bool_)
    try:
        report = leakage(
            manifest, [path], by=methods, layer=data.layer, gene_column=data.gene_column
        ).evaluations[0]
    except LeakageError as error:
        return Leaked(none, 0, str(error))
    if why_not := report.not_compared(methods):
        return Leaked(none, 0, "; ".join(f"{name}: {reason}" for name, reason in why_not.items()))
    cells = _cells(names, report)
    return Leaked(
        cells,
        max(int(cells.sum()), _n_by_name(report)),
        n_untold=report.n_too_few,
        n_compared=report.n_cells,
        is_all=_most_copies(report) < KEPT_A_CELL,
    )


def guard(
    data: EvaluationData,
    manifests: list[Manifest],
    *,
    allow: bool = False,
    drop: bool = False,
    look: Callable[[EvaluationData, Manifest], Leaked] = leaked,
) -> tuple[EvaluationData, str]:
    """Refuse evaluation data that hold cells which training saw; return the data, and what tables say of it.

    Parameters
    ----------
    allow
        Go on, and say so in every result.
    drop
        Leave those cells out of the data.
    look
        Finds them.

    Raises
    ------
    LeakageError
        When there are such cells, or nothing can tell.
    """
    gone, untold = np.zeros(data.n_cells, np.bool_), (0, 0)
    said = []
    for manifest in manifests:
        found = look(data, manifest)
        if found.why_not is not None:
            if not allow:
                raise LeakageError(
                    f"{data.name} could not be compared with the training cells of {manifest.ref}: "
                    f"{found.why_not}; --allow-leakage goes on and marks every result"
                )
            said.append(f"not compared with {manifest.ref}")
        elif found.n_seen and drop and found.cells.any() and found.is_all:
            gone |= found.cells
        elif found.n_seen:
            if not allow:
                n = int(found.cells.sum())
                if drop and n:
                    raise LeakageError(
                        f"{data.name} has {KEPT_A_CELL} copies or more of a training cell of {manifest.ref}, "
                        f"of which only the {KEPT_A_CELL} most alike are found; leave its copies out of the "
                        "data, or build with --exclude-overlap"
                    )
                raise LeakageError(
                    f"{counted(n or found.n_seen, 'cell')} of {data.name} are training or validation cells "
                    f"of {manifest.ref}; leave them out with --drop-shared, build with --exclude-overlap, "
                    "or allow it with --allow-leakage, which marks every result (in a grid: exclude_overlap, "
                    "leakage)"
                )
            said.append(f"allowed: {found.n_seen} cells of {manifest.ref}")
        if found.n_untold:
            data.notice(
                f"{found.n_untold:,} of {found.n_compared:,} cells detect too few of the genes that some "
                f"training cells of {manifest.ref} were measured in to be told from them"
            )
            untold = max(untold, (found.n_untold, found.n_compared))
    if gone.any():
        n = int(gone.sum())
        if n == data.n_cells:
            raise EvaluationError(f"all {n:,} cells of {data.name} are training cells; name other data")
        data.notices.append(f"{counted(n, 'cell')} of {data.name} that training saw are left out")
        data = data.take(~gone)
        said.append(f"dropped: {n} cells")
    if untold[0]:
        said.append(f"{untold[0]} of {untold[1]} cells could not be told from training cells")
    return data, "; ".join(said) or NONE


def _n_by_name(report: EvaluationReport) -> int:
    """Return the cells of training or validation that were found by joinid."""
    held = [report.methods, *(source.methods for source in report.sources.values())]
    return sum(each["joinid"].splits.get(split, 0) for each in held if "joinid" in each for split in SEEN)


def _most_copies(report: EvaluationReport) -> int:
    """Return how many evaluation cells were found of the cell of which most were."""
    if not report.pairs.height:
        return 0
    of_each = report.pairs.group_by("source", "soma_joinid").agg(pl.len().alias("n"))
    return int(of_each["n"].to_numpy().max())


def _cells(names: pl.Series, report: EvaluationReport) -> NDArray[np.bool_]:
    pairs = report.pairs
    if not pairs.height:
        return np.zeros(len(names), np.bool_)
    found = pairs.filter(pl.col("split").cast(pl.String).is_in(list(SEEN)))["evaluation_cell"]
    return names.is_in(found.unique().to_list()).to_numpy()
