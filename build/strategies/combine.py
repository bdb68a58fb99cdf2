"""A recipe of shares over strategies: each part gives its quota of the cells, and no cell stands twice."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.parts import parse_parts, part_quotas
from curate.build.strategies.passing import take_in_passing
from curate.errors import SelectionError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.strategies.named import Settled
    from curate.build.task.target import TaskTarget

DEFAULT_PARTS = "0.5 sketch + 0.3 reweight + 0.2 random"


def combine(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    parts: str | Sequence[Mapping[str, Any]] = DEFAULT_PARTS,
    prepared: Sequence[Mapping[str, Any]] = (),
    tasks: Sequence[Mapping[str, Any]] = (),
) -> Selection:
    """Choose `n` cells by several strategies, to each its quota.

    Every part chooses as it would alone, among all cells. The parts have their turns in the order of the
    recipe: a part passes over the cells that those before it have taken, and goes on down its own list until
    it has given its quota. So the choice holds at least what each part would choose alone of its quota, and
    where all parts nest, so does the whole. From the second part on keys are drawn anew from the cells' own:
    with the same ones `random` would take what `reweight` takes first, and leave out what it has left.

    There are no weights: whether a cell is chosen depends on all parts at once.

    Parameters
    ----------
    parts
        "0.5 sketch(k=100) + 0.3 reweight + 0.2 random": shares with up to 4 decimals that add up to 1.
    prepared, tasks
        What `prepare` and `from_task` returned.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, or a part cannot give its quota: a recipe that is not met
        is another one.

    Notes
    -----
    Quotas are shares of `n`, each rounded up or down, by the quota method (Balinski & Young 1975): unlike
    largest remainders it takes none away as `n` grows. Memory: that of the largest part, and 9 bytes a cell;
    the embedding is not copied. A part is asked again, usually two to five times, for as many more cells as
    were taken before it; at once where it ranks its cells.

    References
    ----------
    Balinski and Young, The quota method of apportionment, American Mathematical Monthly 1975, doi
    10.2307/2318729.
    """
    check_n(n, keys.size)
    recipe = parse_parts(parts)
    quotas = part_quotas([part["share"] for part in recipe], n)
    taken = np.zeros(keys.size, dtype=np.bool_)
    notes: dict[str, int | float | str] = {}
    notices = []
    seeds = copy.deepcopy(rng).integers(2**63, size=len(recipe))
    for at, (part, quota) in enumerate(zip(_settled(recipe), quotas, strict=True)):
        turn = _Turn(
            number=at + 1,
            part=part,
            cells=cells,
            embedding=embedding,
            keys=cell_keys(keys, seed=at, purpose="part") if at else keys,
            rng=np.random.default_rng(int(seeds[at])) if at else rng,
            shared={**_at(tasks, at), **_at(prepared, at)},
        )
        found = turn.take(quota, taken)
        taken[found.rows] = True
        own = dict(found.notes)
        if "notice" in own:
            notices.append(f"part {at + 1}, {part.name}: {own.pop('notice')}")
        notes |= {f"part_{at + 1}": part.name} | {f"part_{at + 1}_{key}": value for key, value in own.items()}
    return Selection(np.flatnonzero(taken), notes=notes | ({"notice": "; ".join(notices)} if notices else {}))


@dataclass(frozen=True)
class _Turn:
    """A part of a recipe, with what it chooses from."""

    number: int
    part: Settled
    cells: pl.DataFrame
    embedding: NDArray[np.float32] | None
    keys: NDArray[np.uint64]
    rng: np.random.Generator
    shared: Mapping[str, Any]

    def take(self, quota: int, taken: NDArray[np.bool_]) -> Selection:
        """Return the rows of the part's quota, none of them taken, and its notes."""
        if quota == 0:
            return Selection(np.empty(0, dtype=np.int64), notes={"n_cells": 0})
        try:
            found = take_in_passing(self.choose, quota, taken, keys=self.keys)
        except SelectionError as error:
            raise SelectionError(
                f"part {self.number}, {self.part.name}, cannot give its {quota:,} cells "
                f"({int(taken.sum()):,} are taken by the parts before it): {error}"
            ) from None
        counted = {"n_cells": quota, "n_passed_over": found.n_passed_over}
        return Selection(found.rows, notes=counted | dict(found.notes))

    def choose(self, n: int) -> Selection:
        """Choose as the part would alone."""
        strategy = self.part.strategy
        return strategy.select(
            self.cells.select(strategy.columns(self.part.settings)),
            self.embedding if strategy.needs_embedding else None,
            n,
            keys=self.keys,
            rng=copy.deepcopy(self.rng),
            **self.part.settings,
            **self.shared,
        )


def _prepare(
    embedding: NDArray[np.float32], *, parts: Any, tasks: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "prepared": [
            part.strategy.prepare(embedding, **part.settings, **_at(tasks, at))
            if part.strategy.prepare
            else {}
            for at, part in enumerate(_settled(parse_parts(parts)))
        ]
    }


def _of_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe needs and promises: what any of its parts needs, what all of them promise."""
    parts = _settled(parse_parts(settings["parts"]))
    columns = [each for part in parts for each in part.strategy.columns(part.settings)]

    def from_task(target: TaskTarget) -> dict[str, Any]:
        return {"tasks": [p.strategy.from_task(target) if p.strategy.from_task else {} for p in parts]}

    return {
        "reads": tuple(dict.fromkeys(columns)),
        "needs_embedding": any(part.strategy.needs_embedding for part in parts),
        "nested": all(part.strategy.nested for part in parts),
        "is_drawn": any(part.strategy.is_drawn for part in parts),
        "prepare": _prepare if any(part.strategy.prepare for part in parts) else None,
        "from_task": from_task if any(part.strategy.needs_task for part in parts) else None,
    }


def not_nesting(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the parts of a recipe that cannot nest, distinct."""
    parts = _settled(parse_parts(settings["parts"]))
    return list(dict.fromkeys(part.name for part in parts if not part.strategy.nested))


def _settled(recipe: Sequence[Mapping[str, Any]]) -> list[Settled]:
    from curate.build.strategies.parts import settle_part

    return [settle_part(part) for part in recipe]


def _at(held: Sequence[Mapping[str, Any]], at: int) -> Mapping[str, Any]:
    return held[at] if held else {}


COMBINE = Strategy(
    select=combine,
    summary="Shares of several strategies: a recipe.",
    reference="quotas: Balinski and Young, Am. Math. Monthly 1975, doi 10.2307/2318729",
    parameters=(
        Parameter(
            name="parts",
            default=DEFAULT_PARTS,
            parse=parse_parts,
            metavar="RECIPE",
            help="Shares of strategies, such as '0.5 sketch(k=100) + 0.3 reweight + 0.2 random'.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    growth="its parts",
    of_settings=_of_settings,
)
