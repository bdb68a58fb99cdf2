"""The climb: a ladder run from its smallest step on, until the rule says that the rest cannot matter.

1. the seeds are run at the step, one after the other;
2. from the third size on the runs are judged after its second seed, and each further one while in doubt;
3. in doubt, another seed is run at all sizes so far, while that costs less than the next step;
4. with the verdict "saturated" the climb ends, else it goes on to the next step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.evaluate.advise.rule import judge
from curate.evaluate.saturation.curve import Curve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.evaluate.advise.rule import Judgement, Rule


@dataclass(frozen=True, eq=False)
class Climb:
    """A climb that ended.

    Attributes
    ----------
    sizes
        Cells of all steps of the ladder, ascending; the last is the whole corpus.
    start
        The first step that was run.
    curve
        The runs.
    judged
        Judgements, by the number of steps that had been run; None of too few.
    """

    sizes: tuple[float, ...]
    curve: Curve
    steps: tuple[int, ...]
    judged: tuple[tuple[int, Judgement], ...]
    rule: Rule

    @property
    def judgement(self) -> Judgement | None:
        """The last; None where no three sizes were run."""
        return self.judged[-1][1] if self.judged else None

    @property
    def last(self) -> int:
        """The largest step that was run."""
        return self.steps[-1]

    @property
    def n_cells(self) -> float:
        """Cells trained on, over all runs."""
        return float(self.curve.n_cells.sum())

    @property
    def n_cells_of_all(self) -> float:
        """Cells that the whole ladder would have trained on, with as many seeds."""
        return float(sum(self.sizes) * self.curve.n_seeds)

    @property
    def share(self) -> float:
        """Of the cells of the whole ladder, those that were trained on."""
        return self.n_cells / self.n_cells_of_all


def climb(
    sizes: Sequence[float],
    score: Callable[[int, int], float],
    rule: Rule,
    *,
    steps: Sequence[int] | None = None,
    tell: Callable[[int, Judgement], None] = lambda step, judgement: None,
) -> Climb:
    """Run a ladder from below until more cells cannot matter.

    Parameters
    ----------
    sizes
        Cells of each step, ascending; the last is the whole corpus.
    score
        (step, seed) -> score of a run, higher is better; asked for each once.
    steps
        Those to run, ascending; all by default.
    tell
        Called with each judgement.

    Raises
    ------
    SaturationError
        When the sizes do not ascend, or a score is no number.
    """
    todo = list(range(len(sizes)) if steps is None else steps)
    runs: dict[tuple[int, int], float] = {}
    n_seeds, judged = rule.n_seeds, []
    for at, step in enumerate(todo):
        done = todo[: at + 1]
        judgement = None
        for seed in range(n_seeds):
            found = score(step, seed)
            # On the whole corpus a model that leaves nothing to chance is the same for every seed: one run.
            is_repeat = step == len(sizes) - 1 and any(
                abs(found - each) <= SAME * rule.tolerance for each in _scores(runs, step)
            )
            if not is_repeat:
                runs[step, seed] = found
            # The dearest runs of a climb are those of its last size: no more of them than it takes.
            if len(done) >= rule.min_sizes and seed + 1 >= FEWEST_SEEDS:
                judgement = judge(_curve(sizes, runs), sizes[-1], rule)
                tell(step, judgement)
                if judgement.verdict != "undecided":
                    break
            if is_repeat:
                break
        if judgement is None:
            continue
        while (
            judgement.verdict == "undecided"
            and judgement.probability < MOST_DOUBT
            and n_seeds < rule.most_seeds
            and at + 1 < len(todo)
            and sum(sizes[each] for each in done) < sizes[todo[at + 1]] * n_seeds
        ):
            runs |= {(each, n_seeds): score(each, n_seeds) for each in done}
            n_seeds += 1
            judgement = judge(_curve(sizes, runs), sizes[-1], rule)
            tell(step, judgement)
        judged.append((step, judgement))
        if judgement.verdict == "saturated":
            break
    return Climb(tuple(sizes), _curve(sizes, runs), tuple(done), tuple(judged), rule)


#: Runs of a size before it is judged.
FEWEST_SEEDS = 2
#: Scores on the whole corpus that differ by less than this share of the tolerance are of one fit.
SAME = 0.01
#: Where it is likelier than not that more cells matter, another seed would not stop the climb.
MOST_DOUBT = 0.5


def _scores(runs: dict[tuple[int, int], float], step: int) -> list[float]:
    return [found for (each, _), found in runs.items() if each == step]


def _curve(sizes: Sequence[float], runs: dict[tuple[int, int], float]) -> Curve:
    steps, seeds = np.array(list(runs)).T
    return Curve.of(np.asarray(sizes, np.float64)[steps], list(runs.values()), seeds)
