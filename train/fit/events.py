"""TensorBoard's events of a run, for those who ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


NOT_INSTALLED = (
    "TensorBoard is not installed: pip install tensorboard, or train without it; the log is in Parquet all "
    "the same"
)


class Events:
    """Writes the rows of the log as TensorBoard's events too.

    Parameters
    ----------
    step
        Where the run goes on: later events of a run that was killed are no longer shown.

    Raises
    ------
    ModelError
        When TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ModelError(NOT_INSTALLED) from None
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def add(self, split: str, values: Mapping[str, float], *, step: int) -> None:
        """Write the values after a step."""
        for name, value in values.items():
            self._writer.add_scalar(f"{name}/{split}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
