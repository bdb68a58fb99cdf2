"""Losses of steps: read from the device every few steps, refused when they are no numbers, averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from curate.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: Steps between rows of the log, each the mean of those since the row before; the first and the last step
#: have one too.
LOG_STEPS = 10


@dataclass
class Losses:
    """The losses since the last row of the log.

    Attributes
    ----------
    sums, n_steps
        Of the steps that have been read: the sum by name, and how often each name came.
    last_finite
        The last loss that was a number.
    """

    sums: dict[str, float] = field(default_factory=dict)
    n_steps: dict[str, int] = field(default_factory=dict)
    last_finite: float | None = None
    _unread: list[tuple[str, tuple[str, ...], Tensor]] = field(default_factory=list)

    def add(self, values: Mapping[str, Tensor], *, where: str) -> None:
        """Add the losses of a step, which are read later.

        Parameters
        ----------
        where
            The step in words, for an error.
        """
        self._unread.append((where, tuple(values), _stacked(values)))

    def check(self, values: Mapping[str, Tensor], *, where: str) -> None:
        """Refuse losses at once where that costs nothing: on the CPU.

        Raises
        ------
        TrainingError
            When one is no number.
        """
        stacked = _stacked(values)
        if stacked.device.type == "cpu" and not bool(stacked.isfinite().all()):
            self.read()
            self._refuse(where, tuple(values), stacked.tolist())

    def read(self) -> None:
        """Read what was added, in one transfer.

        Raises
        ------
        TrainingError
            Naming the first step with a loss that is no number.
        """
        if not self._unread:
            return
        unread, self._unread = self._unread, []
        flat = torch.cat([values for _, _, values in unread]).tolist()
        for where, names, _ in unread:
            values, flat = flat[: len(names)], flat[len(names) :]
            self._refuse(where, names, values)
            for name, value in zip(names, values, strict=True):
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.n_steps[name] = self.n_steps.get(name, 0) + 1
                if name == "loss":
                    self.last_finite = value

    def take(self) -> dict[str, float]:
        """Return the means of what has been read, and begin anew."""
        means = {name: value / self.n_steps[name] for name, value in self.sums.items()}
        self.sums, self.n_steps = {}, {}
        return means

    def _refuse(self, where: str, names: tuple[str, ...], values: list[float]) -> None:
        wrong = [
            f"{name} is {value}"
            for name, value in zip(names, values, strict=True)
            if not math.isfinite(value)
        ]
        if wrong:
            last = (
                "there was no finite loss before"
                if self.last_finite is None
                else (f"the last finite loss was {self.last_finite:.6g}")
            )
            raise TrainingError(
                f"training diverged at {where}: {', '.join(wrong)}; {last}; lower learning_rate or clip_norm"
            )


def _stacked(values: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([value.detach().float().reshape(()) for value in values.values()])
