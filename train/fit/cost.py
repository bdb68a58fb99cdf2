"""What a run costs: time, the part of it in which the model waited for data, energy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.train.fit.energy import Energy
    from curate.train.fit.state import Progress
    from curate.train.fit.stream import Stream


class Meter:
    """Adds what a run costs to what the runs before it have cost.

    The time between two steps counts as training, what validation and checkpoints take does not.
    """

    def __init__(self, progress: Progress, stream: Stream, energy: Energy) -> None:
        self._progress, self._stream, self._energy = progress, stream, energy
        # The first batch has been made before the clock starts.
        self._began = (progress.seconds, progress.waiting_s - stream.waiting_s)
        self._started = self._step_began = time.perf_counter()
        self._energy.taken()

    def end_step(self) -> None:
        """A step has ended."""
        self.look()
        self._progress.training_s += time.perf_counter() - self._step_began

    def begin_step(self) -> None:
        """Another begins: what lay between was no training."""
        self._step_began = time.perf_counter()

    def look(self) -> None:
        """Bring seconds up to now."""
        seconds, waiting_s = self._began
        self._progress.seconds = seconds + time.perf_counter() - self._started
        self._progress.waiting_s = waiting_s + self._stream.waiting_s

    def look_at_energy(self) -> None:
        """Bring energy up to now."""
        taken = self._energy.taken()
        if taken is not None:
            self._progress.energy_joules = (self._progress.energy_joules or 0.0) + taken
