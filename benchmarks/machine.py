"""The machine and the versions that a measurement was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "cellcurate", "numpy", "polars", "pyarrow", "numba", "tiledbsoma", "cellxgene-census", "pandas",
    "geosketch", "scikit-learn", "scanpy", "dask", "vendi-score",
    "torch", "tiledbsoma-ml", "scdataset", "anndata", "zarr", "zarrs",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What a measurement depends on.

    Attributes
    ----------
    n_cores
        Cores that this process may use.
    memory_bytes
        Physical memory.
    versions
        Package → version, of those installed.
    """

    cpu: str
    n_cores: int
    memory_bytes: int
    system: str
    python: str
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Machine:
        """Describe this machine."""
        affinity = getattr(os, "sched_getaffinity", None)
        return cls(
            cpu=_cpu(),
            n_cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            versions={name: found for name in PACKAGES if (found := _version(name))},
        )

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {found}" for name, found in self.versions.items())
        return (
            f"{self.cpu}, {self.n_cores} cores, {self.memory_bytes / 2**30:.0f} GiB, {self.system}, "
            f"Python {self.python}, {versions}"
        )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        found = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return found.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
