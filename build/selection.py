"""What a strategy is given, what it returns, and what is known about it before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from curate.build.task.target import TaskTarget


@dataclass(frozen=True)
class Selection:
    """The cells that a strategy chose.

    Attributes
    ----------
    rows
        int64 [n], ascending and distinct: row numbers in the cells that the strategy was given.
    weights
        float32 [n] or None: inverse inclusion probabilities, only where they differ by design from cell to
        cell and a user of the subset needs them; after a draw with replacement, how often each was drawn.
    rank
        int32 [n] or None: the order in which the cells were drawn, only where the first m of them are a
        selection of m cells.
    notes
        What the strategy found out on the way, for people to read (number of strata, of covering boxes).
        Nothing is decided by it and no id depends on it.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32] | None = None
    rank: NDArray[np.int32] | None = None
    notes: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameter:
    """A setting of a strategy: enough for the command line to offer it and for a manifest to record it.

    Attributes
    ----------
    parse
        Takes a command-line text or a Python value and returns the canonical, JSON-able value; raises
        SelectionError when it is out of range.
    names_columns
        Its value is a corpus column, or several, which `select` is to be given.
    is_chosen
        Whether a user may give it; else it is only recorded.
    """

    name: str
    default: Any
    parse: Callable[[object], Any]
    metavar: str
    help: str
    names_columns: bool = False
    is_chosen: bool = True


@dataclass(frozen=True)
class Strategy:
    """A way to choose cells: a function and what has to be known before it is called.

    Attributes
    ----------
    select
        ``(cells, embedding, n, *, keys, rng, **parameters) -> Selection``, where `cells` is a polars frame of
        the corpus columns it asked for (none: a frame of no columns), `embedding` float32 [n_cells, d] or
        None, `keys` uint64 [n_cells], one random key a cell.
    costs
        ``(cells, embedding, selection, *, labels, keys, rng, embedding_rows, **parameters) -> notes``: where
        the choice gives something up for something else, what it costs against `random`, measured.
    reads
        Corpus columns that it always reads, beside those that its parameters name.
    nested
        With the same keys and an `rng` in the same state, the choice of m cells lies inside that of n > m.
    is_drawn
        Another seed gives another choice; otherwise the seed but breaks ties.
    prepare
        ``(embedding, **parameters) -> {name: value}`` or None: what all sizes and seeds share, computed once
        for one set of cells, and passed to `select` by keyword. It changes no result.
    growth
        How work grows with N cells to choose from, n chosen, d dimensions: "N d".
    from_task
        ``(target) -> {name: value}`` or None: what it takes from a task document, resolved against the corpus
        (`curate.build.task`), and is passed to `select` by keyword; without a task there is no choice.
    of_settings
        ``(settings) -> {attribute: value}`` or None: where what it needs and promises depends on its
        settings, what that is for given ones.
    """

    select: Callable[..., Selection]
    summary: str
    reference: str
    parameters: tuple[Parameter, ...] = ()
    costs: Callable[..., Mapping[str, int | float | str]] | None = None
    reads: tuple[str, ...] = ()
    needs_embedding: bool = False
    nested: bool = False
    is_drawn: bool = True
    prepare: Callable[..., dict[str, Any]] | None = None
    growth: str = "N"
    from_task: Callable[[TaskTarget], dict[str, Any]] | None = None
    of_settings: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None

    @property
    def needs_task(self) -> bool:
        """Whether it chooses for a stated task."""
        return self.from_task is not None

    def resolve(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Return every parameter in its canonical form, defaults filled in, in the order of the table.

        Raises
        ------
        SelectionError
            When a parameter is unknown or out of range.
        """
        names = [parameter.name for parameter in self.parameters]
        unknown = sorted(set(given) - set(names))
        if unknown:
            known = ", ".join(each.name for each in self.parameters if each.is_chosen) or "none"
            raise SelectionError(f"{self.select.__name__} has no parameter {unknown[0]!r}; it has: {known}")
        return {p.name: p.parse(given.get(p.name, p.default)) for p in self.parameters}

    def settled(self, settings: Mapping[str, Any]) -> Strategy:
        """Return it as it is with these settings, resolved ones."""
        return self if self.of_settings is None else replace(self, **self.of_settings(settings))

    def columns(self, parameters: Mapping[str, object]) -> tuple[str, ...]:
        """Return the corpus columns that `select` reads: `reads`, and those that its parameters name."""
        resolved = self.resolve(parameters)
        named = [resolved[each.name] for each in self.parameters if each.names_columns]
        columns = [each for value in named for each in ([value] if isinstance(value, str) else value)]
        return tuple(dict.fromkeys([*self.reads, *columns]))


def check_n(n: int, n_cells: int) -> None:
    """Refuse a number of cells that cannot be chosen.

    Raises
    ------
    SelectionError
        When `n` is not a whole number in 1 … `n_cells`.
    """
    if isinstance(n, bool) or not float(n).is_integer() or n < 1:
        raise SelectionError(f"{n} cells asked for; ask for a whole number from 1")
    if n > n_cells:
        raise SelectionError(f"{n:,} cells asked for, but only {n_cells:,} to choose from; ask for fewer")
