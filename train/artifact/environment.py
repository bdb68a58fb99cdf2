"""What a model is trained with: versions, processor, GPU; nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from curate import __version__
from curate.train.artifact.document import Environment

PACKAGES = (
    "numpy",
    "torch",
    "lightning",
    "scvi-tools",
    "transformers",
    "pytorch-metric-learning",
    "safetensors",
)


def environment(*, uses_gpu: bool) -> Environment:
    """Return what this process runs on; packages that are not installed are left out."""
    return Environment(
        software={"curate": __version__} | {name: held for name in PACKAGES if (held := _version(name))},
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        n_cores=os.cpu_count() or 1,
        n_threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if uses_gpu and torch.cuda.is_available() else None,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
