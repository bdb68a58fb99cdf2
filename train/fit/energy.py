"""Energy that processor and GPUs have taken, where the system tells it: RAPL and NVML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

POWERCAP = Path("/sys/class/powercap")


@dataclass
class Counter:
    """One counter of joules.

    Attributes
    ----------
    read
        The counter now.
    wraps_at
        Where it begins again at 0; never when None.
    """

    read: Callable[[], float]
    last: float
    wraps_at: float | None = None

    def taken(self) -> float:
        """Return the joules since it was last asked."""
        now = self.read()
        taken = now - self.last
        if taken < 0 and self.wraps_at is not None:
            taken += self.wraps_at
        self.last = now
        return taken


class Energy:
    """The counters of this machine: of all processors, and of the first GPUs.

    Parameters
    ----------
    n_gpus
        GPUs that take part.
    """

    def __init__(self, *, n_gpus: int, powercap: Path = POWERCAP) -> None:
        self._counters = [*_of_processors(powercap), *_of_gpus(n_gpus)]

    def taken(self) -> float | None:
        """Return the joules since it was last asked; None where nothing can be read.

        A processor's counter begins anew after some minutes to hours: ask more often.
        """
        if not self._counters:
            return None
        return sum(counter.taken() for counter in self._counters)


def _of_processors(powercap: Path) -> list[Counter]:
    """Return the counters of processor packages, which hold those of their cores."""
    counters = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") != 1:
            continue
        path = folder / "energy_uj"

        def read(path: Path = path) -> float:
            return int(path.read_text()) / 1e6

        try:
            limit = int((folder / "max_energy_range_uj").read_text()) / 1e6
            counters.append(Counter(read, read(), limit))
        except (OSError, ValueError):
            # Mostly for root alone.
            continue
    return counters


def _of_gpus(n_gpus: int) -> list[Counter]:
    if n_gpus == 0:
        return []
    try:
        import pynvml
    except ImportError:
        return []
    counters = []
    try:
        pynvml.nvmlInit()
        for number in range(n_gpus):
            # By its id: torch may see other GPUs, in another order, than NVML.
            name = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
            handle = pynvml.nvmlDeviceGetHandleByUUID(name)

            def read(handle: object = handle) -> float:
                return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

            counters.append(Counter(read, read()))
    except pynvml.NVMLError:
        return []
    return counters
