"""What looking for an evaluation set in a corpus will read, hold and take, before it runs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from curate.build.bytes_read import NONZEROS_PER_CELL, counts_size
from curate.build.explain import BASE_BYTES, Explanation, Line
from curate.build.leakage.compared import CorpusCells
from curate.build.leakage.guard import CELL_METHODS, METHODS, Method, overlap_exclusions, read_evaluation
from curate.build.leakage.scan import kept_scan
from curate.build.leakage.sketches import Bands
from curate.census import Census
from curate.errors import LeakageError
from curate.h5ad.source import H5adSource
from curate.rates import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from curate.build.exclusions import Exclusion
    from curate.corpus import Corpus

CONTENT_METHODS: tuple[Method, ...] = ("exact", "near")
"""Those that read counts."""
MOST_READ = 10_000_000
"""Non-zeros of an evaluation set that is read to explain a build: a second or two."""

BYTES_PER_NONZERO = 8
"""Four of the evaluation set, and as much again while it is packed."""
USUAL_BANDS = Bands(4, 34)
BYTES_PER_BAND_AND_CELL = 24
"""A key, a place and two to four starts of buckets."""
NULL_BYTES = 0.35e9
"""Ranks and the sample of the null over 30,000 genes, and three blocks of counts."""
GENE_SET_S = 5.0
"""To index some evaluation cells over one set of genes, a second for each 40,000 at least."""


def explain_overlap(
    corpus: Corpus,
    path: str | Path,
    *,
    root: Path | None,
    n_cells: int | None = None,
    by: Sequence[Method] = METHODS,
    n_evaluation: int | None = None,
) -> Explanation:
    """Say what `find_overlap` will read, hold and take; no counts are read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    n_cells
        Cells of the corpus to compare; all by default.
    n_evaluation
        Cells of the evaluation set to compare with; all by default.

    Raises
    ------
    SourceError, CensusError
        When the evaluation set cannot be opened.
    """
    n_compared = corpus.n_cells if n_cells is None else n_cells
    n_there, n_nonzeros, source = evaluation_size(path, corpus.header.organism)
    n_evaluation = n_there if n_evaluation is None else n_evaluation
    n_nonzeros *= n_evaluation / max(1, n_there)
    name = Path(str(path)).name
    lines = [
        Line("cells compared", n_compared, "cells", is_estimate=False, source=f"of corpus {corpus.name}"),
        Line("evaluation cells", n_evaluation, "cells", is_estimate=False, source=name),
    ]
    if "exact" in by or "near" in by:
        size = counts_size(corpus)
        rate = rate_of(root or corpus.path, "leakage")
        n_datasets = corpus.value_counts("dataset_id").height
        indexing_s = n_datasets * max(GENE_SET_S, n_evaluation / 40_000)
        held = BASE_BYTES + NULL_BYTES + BYTES_PER_NONZERO * n_nonzeros
        held += BYTES_PER_BAND_AND_CELL * USUAL_BANDS.n * n_evaluation
        lines += [
            Line(
                "pairs decided",
                float(n_compared) * n_evaluation,
                "",
                is_estimate=False,
                source="a few dozen of them a cell are met",
            ),
            Line(
                "counts to read",
                round(size.n_bytes * n_compared / corpus.header.n_read),
                "bytes",
                is_estimate=True,
                source=f"once; {size.source}",
            ),
            Line("memory", round(held), "bytes", is_estimate=True, source=f"{source}, and its index"),
            Line(
                "time",
                n_compared / rate.per_s,
                "s",
                is_estimate=True,
                source=f"{rate.per_s:,.3g} cells/s, {rate.source}",
            ),
            Line(
                "time to index, at most",
                indexing_s,
                "s",
                is_estimate=True,
                source=f"where the {n_datasets:,} datasets all measured other genes",
            ),
        ]
    else:
        lines.append(Line("counts to read", 0, "bytes", is_estimate=False, source="only the index is"))
    notice = "" if set(by) & set(CELL_METHODS) else "no method that finds cells is among them"
    return Explanation(
        title=f"{name} in corpus {corpus.name} by {method_names(by)}", lines=tuple(lines), notice=notice
    )


def method_names(by: Sequence[Method]) -> str:
    """Return the methods in their order, for a title."""
    return ", ".join(method for method in METHODS if method in by)


@dataclass(frozen=True)
class Foreseen:
    """What is known of the overlap with an evaluation set before a build looks for it.

    Attributes
    ----------
    exclusions
        Of the methods that need no pass over the counts, or whose pass is kept from an earlier run.
    pending
        The methods whose cells only the build will find.
    """

    name: str
    explanation: Explanation
    exclusions: tuple[Exclusion, ...]
    pending: tuple[Method, ...]


def foresee_overlap(
    corpus: Corpus,
    path: str | Path,
    *,
    root: Path | None,
    by: Sequence[Method],
    kept: NDArray[np.bool_],
    tell: Callable[[str], None] = lambda line: None,
    uncompared: bool = False,
) -> Foreseen:
    """Say what leaving out an evaluation set will take, and which cells that is, where it is known already.

    The evaluation set is read where it is small (MOST_READ non-zeros); the counts of the corpus never are.

    Parameters
    ----------
    kept
        bool [n_cells of the corpus], the cells that there are to choose from before.
    tell, uncompared
        As of `overlap_exclusions`.

    Raises
    ------
    SourceError, CensusError, LeakageError
        When the evaluation set cannot be opened or compared.
    """
    name = Path(str(path)).name
    explanation = explain_overlap(corpus, path, root=root, n_cells=int(kept.sum()), by=by)
    if evaluation_size(path, corpus.header.organism)[1] > MOST_READ:
        return _pending(name, explanation, (), by, "and it is too large to be read for an estimate")
    with corpus.open_census() as census:
        evaluation = read_evaluation(corpus, path, census=census)
        by_content = [method for method in by if method in CONTENT_METHODS]
        if (
            not by_content
            or kept_scan(CorpusCells(corpus, census), evaluation, kept, is_near="near" in by) is not None
        ):
            exclusions = overlap_exclusions(
                corpus, evaluation, census=census, by=by, tell=tell, uncompared=uncompared
            )
            lines = tuple(line for line in explanation.lines if line.unit in ("cells", ""))
            read = Line("counts to read", 0, "bytes", is_estimate=False, source="what was found is kept")
            return Foreseen(name, replace(explanation, lines=(*lines, read)), tuple(exclusions), ())
        by_name = [method for method in by if method not in by_content]
        found: Sequence[Exclusion] = ()
        # A build goes on by content where it cannot compare by name.
        with suppress(LeakageError):
            found = overlap_exclusions(corpus, evaluation, census=census, by=by_name, uncompared=uncompared)
        return _pending(name, explanation, found, by_content, "after a pass over the counts")


def _pending(
    name: str, explanation: Explanation, found: Sequence[Exclusion], pending: Sequence[Method], why: str
) -> Foreseen:
    notice = (
        f"the cells that {' and '.join(pending)} will find come off those to choose from only when it is "
        f"built, {why}: the numbers below are of more cells than it will have"
    )
    return Foreseen(name, replace(explanation, notice=notice), tuple(found), tuple(pending))


def evaluation_size(path: str | Path, organism: str) -> tuple[int, float, str]:
    """Return cells and non-zeros of an evaluation set, and how they are known."""
    if "://" in str(path) or Path(path).is_dir():
        with Census.open(uri=str(path)) as census:
            n_cells = census.n_cells(organism)
            return n_cells, float(census.n_nonzeros(organism)), "the non-zeros of the store"
    with H5adSource.open(path, layer="X", check=False) as source:
        most = source.n_values
        usual = min(float(most), NONZEROS_PER_CELL * source.n_cells) if source.is_dense else float(most)
        return source.n_cells, usual, "the stored values of X"
