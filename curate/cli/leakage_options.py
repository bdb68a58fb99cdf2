"""Options of commands that compare with evaluation sets."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with_option
from curate.cli.numbers import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from curate.build.exclusions import Exclusion
    from curate.build.explain import Explanation
    from curate.build.spike_ins import SpikeIns
    from curate.corpus import Corpus

# As curate.build.leakage.guard.METHODS, which would import numba.
_METHODS = ("joinid", "exact", "near", "donor", "possible-donor")


class Methods(click.ParamType[list[Any]]):
    """Methods joined by commas."""

    name = "METHOD[,METHOD]..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the methods of "exact,near"."""
        if isinstance(value, list):
            return value
        methods = [part.strip() for part in str(value).split(",")]
        for method in methods:
            if method not in _METHODS:
                self.fail(f"{method!r} is none of {', '.join(_METHODS)}")
        if (repeat := repeated(methods)) is not None:
            self.fail(f"{repeat!r} is given twice; give each once")
        return methods


def _distinct(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if (repeat := repeated(value)) is not None:
        raise click.BadParameter(f"{repeat!r} is given twice; give each once", ctx=ctx, param=param)
    return value


def overlap_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer --exclude-overlap and how to look."""
    function = goes_with_option("exclude_overlap_by", other="exclude_overlap")(function)
    for option in reversed(
        (
            click.option(
                "--exclude-overlap",
                "exclude_overlap",
                multiple=True,
                metavar="EVAL",
                callback=_distinct,
                help="Leave out cells of this evaluation set, an h5ad file or a Census-layout store, of the "
                "corpus and of spike-ins; may be repeated.",
            ),
            click.option(
                "--exclude-overlap-by",
                "exclude_overlap_by",
                type=Methods(),
                default="joinid,exact,near",
                show_default=True,
                help="How to look; donor and possible-donor leave out whole donors.",
            ),
        )
    ):
        function = option(function)
    return function


@contextmanager
def overlap_exclusions_of(
    corpus: Corpus, paths: Sequence[str], *, by: list[Any], uncompared: bool = False
) -> Iterator[list[Exclusion]]:
    """Yield the exclusions of evaluation sets, for as long as the counts can be read."""
    if not paths:
        yield []
        return
    from curate.build.leakage.guard import overlap_exclusions, read_evaluation

    with corpus.open_census() as census:
        yield [
            exclusion
            for path in paths
            for exclusion in overlap_exclusions(
                corpus,
                read_evaluation(corpus, path, census=census),
                census=census,
                by=by,
                tell=_notice,
                uncompared=uncompared,
            )
        ]


def _notice(line: str) -> None:
    click.echo(f"notice: {line}", err=True)


def explain_overlaps(
    corpus: Corpus,
    paths: Sequence[str],
    *,
    root: Path,
    by: list[Any],
    where: str | None,
    exclusions: Sequence[Exclusion],
    spike_ins: SpikeIns | None = None,
    uncompared: bool = False,
) -> tuple[list[Explanation], list[Exclusion], list[str]]:
    """Say what comparing the corpus and sources of a build with evaluation sets, and each other, will take.

    Parameters
    ----------
    where, exclusions
        What comes before.

    Returns
    -------
    The explanations; the exclusions whose cells are known without looking; what more will come off.
    """
    if not paths and spike_ins is None:
        return [], [], []
    import numpy as np

    from curate.build.candidates import find_candidates
    from curate.build.leakage.doubles import kept_doubles
    from curate.build.leakage.explain import foresee_overlap
    from curate.build.leakage.explain_sources import explain_doubles, explain_source

    explained: list[Explanation] = []
    known: list[Exclusion] = []
    pending: list[str] = []
    for path in paths:
        candidates = find_candidates(corpus, where, [*exclusions, *known])
        kept = np.zeros(corpus.n_cells, np.bool_)
        kept[slice(None) if candidates.rows is None else candidates.rows] = True
        foreseen = foresee_overlap(
            corpus, path, root=root, by=by, kept=kept, tell=_notice, uncompared=uncompared
        )
        explained.append(foreseen.explanation)
        known += foreseen.exclusions
        if foreseen.pending:
            pending.append(f"the overlap with {foreseen.name} by {' and '.join(foreseen.pending)}")
    sources = [source for source, _ in spike_ins.shares] if spike_ins else []
    explained += [explain_doubles(source) for source in sources if kept_doubles(source) is None]
    explained += [explain_source(source, path, by=by) for source in sources for path in paths]
    return explained, known, pending
