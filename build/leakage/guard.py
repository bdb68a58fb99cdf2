"""The way through the leakage guard.

1. the evaluation set is read;
2. its cells and donors are looked up by name in the obs of the cells compared, a corpus' or a source's;
3. their content is looked for in one pass over the counts;
4. what was found is reported, of the cells of a manifest, or left out of a build.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curate.build.exclusions import Exclusion
from curate.build.leakage.compared import CorpusCells, SourceCells
from curate.build.leakage.found import why_not_compared
from curate.build.leakage.identities import Same, possible_donors, same_donors, same_joinids
from curate.build.leakage.scan import METHOD_VERSION, Scan, scan
from curate.build.leakage.sources import open_evaluation
from curate.errors import LeakageError
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.exclusions import Mask
    from curate.build.leakage.compared import Compared
    from curate.build.leakage.evaluation import EvaluationSet
    from curate.census import Census
    from curate.corpus import Corpus
    from curate.sources.source import Source

Method = Literal["joinid", "exact", "near", "donor", "possible-donor"]
METHODS: tuple[Method, ...] = get_args(Method)
CELL_METHODS: tuple[Method, ...] = ("joinid", "exact", "near")
"""Those that find the same cell; the others find the same donor."""

BY_OBS: dict[Method, Callable[[Compared, EvaluationSet, NDArray[np.bool_] | None], Same]] = {
    "joinid": same_joinids,
    "donor": same_donors,
    "possible-donor": possible_donors,
}


@dataclass(frozen=True)
class Overlap:
    """What an evaluation set and cells of a corpus or source have in common.

    Attributes
    ----------
    compared
        bool [n_cells], the cells that were asked about.
    same
        What each method found among the cells compared, on both sides.
    scan
        The pairs of like content; None when content was not asked for.
    """

    evaluation: EvaluationSet
    compared: NDArray[np.bool_]
    same: Mapping[Method, Same]
    scan: Scan | None

    def any_of(self, methods: Sequence[Method]) -> NDArray[np.bool_]:
        """Return which of the cells some of the methods found, bool [n_cells]."""
        found = np.zeros(len(self.compared), np.bool_)
        for method in methods:
            if method in self.same:
                found |= self.same[method].cells
        return found


def read_evaluation(
    corpus: Corpus,
    path: str | Path,
    *,
    census: Census,
    layer: str | None = None,
    gene_column: str | None = None,
) -> EvaluationSet:
    """Read an evaluation set to compare with a corpus; see `sources.open_evaluation`."""
    organism = corpus.header.organism
    var = census.read_var(organism)
    return open_evaluation(path, var=var, organism=organism, layer=layer, gene_column=gene_column)


def find_overlap(
    cells: Compared,
    evaluation: EvaluationSet,
    *,
    compared: NDArray[np.bool_] | None = None,
    by: Sequence[Method] = METHODS,
) -> Overlap:
    """Find what an evaluation set has in common with cells of a corpus or of a source.

    Parameters
    ----------
    compared
        bool [n_cells], the cells to look at; all by default. Only their counts are read.
    by
        The methods, of METHODS. "exact" and "near" share one pass over the counts.

    Raises
    ------
    LeakageError
        When a method is unknown, or no dataset of these cells measured a gene that the evaluation set
        detects.
    CensusError, SourceError
        When the counts cannot be read.
    """
    unknown = [each for each in by if each not in METHODS]
    if unknown:
        raise LeakageError(f"no method named {unknown[0]!r}; there are: {', '.join(METHODS)}")
    wanted = np.ones(cells.n_cells, np.bool_) if compared is None else compared
    same: dict[Method, Same] = {
        method: BY_OBS[method](cells, evaluation, wanted) for method in by if method in BY_OBS
    }
    by_content: list[Method] = [method for method in ("exact", "near") if method in by]
    found = None
    if by_content:
        of_file = _same_in_file(cells, evaluation, wanted)
        found = scan(cells, evaluation, wanted, is_near="near" in by)
        found = replace(found, few=np.setdiff1d(found.few, np.flatnonzero(of_file.evaluation)))
        _refuse_strangers(cells, evaluation, found, wanted)
        same |= {method: _same_content(method, found, evaluation, wanted) for method in by_content}
        if "exact" in same:
            same["exact"] = _either(same["exact"], of_file)
    return Overlap(evaluation, wanted, {method: same[method] for method in METHODS if method in same}, found)


def overlap_exclusions(
    corpus: Corpus,
    evaluation: EvaluationSet,
    *,
    census: Census,
    by: Sequence[Method] = CELL_METHODS,
    tell: Callable[[str], None] = lambda line: None,
    uncompared: bool = False,
    remedy: str = "--allow-uncompared allows that",
) -> list[Exclusion]:
    """Return exclusions of the cells that an evaluation set holds, one a method, for `build`.

    They leave out cells of the corpus, and cells of the sources that subsets are spiked with. The counts are
    read when the first of them has its turn, those of the cells that are left by then. A method that cannot
    compare by obs is left out; of one that cannot by content, the record says so.

    Parameters
    ----------
    tell
        Called with what could not be compared, and why.
    uncompared
        Go on where no method for cells can compare, as `leakage` does with --fail-on none.
    remedy
        What allows that, for the message.

    Raises
    ------
    LeakageError
        When none of the methods can compare; when its turn comes, if that is known only then.
    """
    cells = CorpusCells(corpus, census)
    usable = [method for method in METHODS if method in by]
    for method in usable.copy():
        why_not = BY_OBS[method](cells, evaluation, None).why_not if method in BY_OBS else None
        if why_not is not None:
            tell(f"{evaluation.name} was not compared by {method}: {why_not}")
            usable.remove(method)
    if not usable:
        raise LeakageError(
            f"{evaluation.name} can be compared by none of {', '.join(by)}: its obs lacks the columns; "
            "give it dataset_id, donor_id and observation_joinid, or compare by exact,near"
        )
    found: dict[str, Overlap] = {}

    def overlap(cells: Compared, kept: Mask) -> Overlap:
        # What later methods are asked about are fewer of the same cells.
        if cells.called not in found:
            each = _overlap(cells, evaluation, kept, usable, uncompared=uncompared)
            why_not = why_not_compared([each.same[name].why_not for name in CELL_METHODS if name in usable])
            if why_not is not None and not uncompared and kept.any():
                raise LeakageError(
                    f"the {counted(int(kept.sum()), 'cell')} of {cells.called} could not be compared with "
                    f"{evaluation.name}: {why_not}; nothing says that they are not in it ({remedy})"
                )
            found[cells.called] = each
            _tell_undecided(cells, each, tell)
        return found[cells.called]

    def noted(method: Method, source: Source | None) -> dict[str, object]:
        held = found.get((cells if source is None else SourceCells(source)).called)
        why_not = held.same[method].why_not if held else None
        return {} if why_not is None else {"not_compared": why_not}

    def untold() -> tuple[int, int]:
        held = found.get(cells.called)
        few = len(held.scan.few) if held is not None and held.scan is not None else 0
        return few, evaluation.n_cells

    def exclusion(method: Method) -> Exclusion:
        version: dict[str, object] = {"method_version": METHOD_VERSION}
        return Exclusion(
            reason="evaluation overlap",
            parameters={
                "by": method,
                "evaluation": evaluation.fingerprint,
                **(version if method in ("exact", "near") else {}),
            },
            drop=lambda _, kept: overlap(cells, kept).same[method].cells,
            drop_of_source=lambda source, kept: overlap(SourceCells(source), kept).same[method].cells,
            label=f"overlap with {evaluation.name} by {method}",
            noted=partial(noted, method),
            untold=untold,
        )

    return [exclusion(method) for method in usable]


def _overlap(
    cells: Compared, evaluation: EvaluationSet, kept: Mask, by: Sequence[Method], *, uncompared: bool
) -> Overlap:
    """Find what is in common; where content cannot be compared and need not, what can be by obs."""
    try:
        return find_overlap(cells, evaluation, compared=kept, by=by)
    except LeakageError:
        if not uncompared:
            raise
        overlap = find_overlap(cells, evaluation, compared=kept, by=[each for each in by if each in BY_OBS])
        nothing = Same(
            np.zeros(cells.n_cells, np.bool_),
            np.zeros(evaluation.n_cells, np.bool_),
            why_not="they have no gene in common",
        )
        return replace(overlap, same=dict.fromkeys(by, nothing) | dict(overlap.same))


def _tell_undecided(cells: Compared, overlap: Overlap, tell: Callable[[str], None]) -> None:
    name, n_cells = overlap.evaluation.name, overlap.evaluation.n_cells
    reasons = {method: same.why_not for method, same in overlap.same.items() if same.why_not is not None}
    for why_not in dict.fromkeys(reasons.values()):
        methods = " and ".join(method for method, reason in reasons.items() if reason == why_not)
        tell(f"{name} was not compared with {cells.called} by {methods}: {why_not}")
    if "near" in reasons:
        return
    if overlap.scan is not None and len(overlap.scan.few):
        n_apart = int(overlap.compared.sum()) - overlap.scan.n_compared
        of = f"{n_apart:,} cells of {cells.called}" if n_apart else cells.called
        tell(
            f"{len(overlap.scan.few):,} of {n_cells:,} cells of {name} detect too few genes that they share "
            f"with {of} to be decided by content: not found is not clean"
        )


def _same_in_file(cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_]) -> Same:
    """Find cells of equal counts in all genes of both files, however few they detect: files made of another.

    Where the files name their genes otherwise, no cell is found so.
    """
    content = cells.content()
    if content is None:
        return Same(np.zeros(cells.n_cells, np.bool_), np.zeros(evaluation.n_cells, np.bool_))
    ours = wanted & np.isin(content, evaluation.content[evaluation.content != 0])
    return Same(ours, np.isin(evaluation.content, content[ours]))


def _either(one: Same, other: Same) -> Same:
    return Same(one.cells | other.cells, one.evaluation | other.evaluation, one.why_not)


def _same_content(method: Method, found: Scan, evaluation: EvaluationSet, wanted: NDArray[np.bool_]) -> Same:
    pairs = found.pairs.filter(f"is_{method}")
    ours, of_evaluation = np.zeros(len(wanted), np.bool_), np.zeros(evaluation.n_cells, np.bool_)
    ours[pairs["row"].to_numpy()] = True
    of_evaluation[pairs["cell"].to_numpy()] = True
    why_not = None
    if method == "exact" and not evaluation.is_count.any():
        why_not = "its values are no counts, and none could be restored from them"
    elif len(found.few) == evaluation.n_cells and not found.n_compared:
        why_not = (
            f"none of the {evaluation.n_cells:,} cells looked for detects enough of the shared genes to be "
            "decided"
        )
    return Same(ours & wanted, of_evaluation, why_not)


def _refuse_strangers(
    cells: Compared, evaluation: EvaluationSet, found: Scan, wanted: NDArray[np.bool_]
) -> None:
    most = max((each.n_genes for each in found.gene_sets), default=0)
    if most == 0 and wanted.any():
        raise LeakageError(
            f"{evaluation.name}: none of its {evaluation.n_genes:,} genes is both detected in it and "
            f"measured by the cells of {cells.called} ({evaluation.n_mapped:,} are known to the "
            "Census), so that their content cannot be compared; use --by joinid,donor or "
            "a file with more genes"
        )
