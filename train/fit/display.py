"""Live progress of training on stderr: losses, pace, time left; silent when stderr is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.train.fit.state import Progress


class Display:
    """A bar that fills with the limit that is nearest.

    Parameters
    ----------
    name
        Of the model.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        self._bar: Any = None
        self._first = (progress.n_cells, progress.seconds)
        self._losses: dict[str, float] = {}
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("Training " + name),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=1.0, state="")
        self._bar.start()

    def add(self, split: str, values: dict[str, float]) -> None:
        """Take the losses to show from a row of the log."""
        self._losses[split] = values["loss"]

    def show(self, progress: Progress, *, share: float) -> None:
        """Show how far the run is.

        Parameters
        ----------
        share
            Of the run that is done, from 0 to 1.
        """
        if self._bar is None:
            return
        parts = [f"step {progress.step:,}", f"epoch {progress.n_epochs:,}"]
        parts += [f"{split} loss {value:.4g}" for split, value in self._losses.items()]
        cells, seconds = self._first
        if progress.seconds > seconds:
            parts.append(f"{(progress.n_cells - cells) / (progress.seconds - seconds):,.0f} cells/s")
        self._bar.update(self._task, completed=share, state=" · ".join(parts))

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
