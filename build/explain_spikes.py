"""Whether the subsets of `curate build` can be spiked, as far as that is known before it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from curate.build.candidates import find_candidates
from curate.build.explain import Explanation, Line
from curate.build.leakage.foreseen_pools import foresee_pool
from curate.build.requests import make_requests
from curate.build.spike_sizes import check_spike_sizes
from curate.build.splits.cells import RATIOS
from curate.build.splits.splits import make_splits
from curate.build.splits.units import CELL
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.build.exclusions import Exclusion
    from curate.build.leakage.guard import Method
    from curate.build.spike_ins import SpikeIns
    from curate.corpus import Corpus


def explain_spike_ins(
    corpus: Corpus,
    spike_ins: SpikeIns,
    *,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    pending: Sequence[str] = (),
    evaluations: Sequence[str | Path] = (),
    by: Sequence[Method] = (),
    split_by: str | Sequence[str] = CELL,
    split_ratios: Sequence[float] = RATIOS,
    split_seed: int = 0,
    split_stratify_by: str | Sequence[str] = ("cell_type",),
) -> Explanation:
    """Say how many cells of each source may be drawn, and refuse what `build` will refuse, by the same line.

    No counts are read: what earlier runs have found is used, and what is not known yet is said.

    Parameters
    ----------
    exclusions, pending
        As of `explain_build`.
    evaluations, by
        Evaluation sets whose cells are left out, and how they are looked for.
    split_by, split_ratios, split_seed, split_stratify_by
        As of `build`.

    Raises
    ------
    SelectionError
        When `build` with the same arguments will refuse a share, whatever it finds on the way.
    SourceError
        When a source was not compared with the corpus, and that takes long.
    """
    candidates = find_candidates(corpus, where, exclusions)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells)
    sources = [source for source, _ in spike_ins.shares]
    foreseen = {
        source.name: foresee_pool(
            source,
            evaluations,
            by=by,
            before=sources[:at],
            uncompared=spike_ins.allow_uncompared,
            assigned=spike_ins.balance == "perturbation",
        )
        for at, source in enumerate(sources)
    }
    splits = make_splits(
        corpus,
        candidates,
        unit=split_by,
        ratios=split_ratios,
        seed=split_seed,
        stratify_by=split_stratify_by,
    )
    spike_ins = replace(spike_ins, pools={name: each.pool for name, each in foreseen.items()})
    notices = []
    try:
        is_open = check_spike_sizes(spike_ins, [each.n_cells for each in requests], candidates, splits)
        if is_open:
            sizes = " and ".join(f"{n:,}" for n in sorted(is_open))
            notices.append(
                f"whether subsets of {sizes} cells can be spiked so is known once they are chosen: it "
                "depends on how many of them are training cells"
            )
    except SelectionError as error:
        if not pending:
            raise
        # With fewer cells to choose from the share may be one that the source has.
        notices.append(f"of the cells known so far it would be refused: {error}")
    for name, each in foreseen.items():
        if each.pending:
            notices.append(
                f"{' and '.join(each.pending)} come off the cells of {name} only when it is built: fewer may "
                "be drawn than are said here, and the build may refuse what this does not"
            )
    return Explanation(
        title="cells of sources that may be drawn" + (", at most" if notices else ""),
        lines=tuple(
            Line(
                source.name,
                len(foreseen[source.name].pool.rows),
                "cells",
                is_estimate=bool(foreseen[source.name].pending),
                source=", ".join(
                    [f"of {source.n_cells:,}", *filter(None, [foreseen[source.name].pool.reasons()])]
                ),
            )
            for source, _ in spike_ins.shares
        ),
        notice="; ".join(notices),
    )
