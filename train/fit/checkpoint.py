"""All that a run needs to go on, in one safetensors file: written aside, synced and renamed; never executed.

::

    checkpoint.safetensors
        model/<name>                 parameters and buffers
        best/<name>                  those of the validation with the smallest loss
        optimiser/<number>/<name>    state of AdamW, by the number of the parameter
        log                          metrics.parquet, as uint8
        (metadata)                   what run it is of, and how far that has come, in JSON
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from curate.atomic import atomic_file
from curate.documents import canonical_digest
from curate.errors import TrainingError, WriteError
from curate.train.fit.log import Log
from curate.train.fit.losses import Losses
from curate.train.fit.state import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from curate.train.fit.plan import FitPlan
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards

CHECKPOINT_FILE = "checkpoint.safetensors"
KEY = "curate"
#: Fields of a plan that do not change what comes out.
FREE = ("folder", "accelerator", "checkpoint_steps", "n_threads", "tensorboard")


@dataclass
class Checkpoint:
    """What a run has come to.

    Attributes
    ----------
    model, best
        Parameters and buffers now, and those of the best validation: on the CPU, by name.
    optimiser
        Of each parameter, by its number, the state of AdamW by name.
    losses
        Of the steps since the last row of the log, of this rank.
    sums_of_others
        Their sums of the ranks from the second on.
    """

    run: dict[str, Any]
    model: dict[str, Tensor]
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    losses: Losses = field(default_factory=Losses)
    sums_of_others: list[dict[str, float]] = field(default_factory=list)

    @property
    def kept(self) -> dict[str, Tensor]:
        """The weights that the run has to show: of the best validation, or the last ones without any."""
        return self.best or self.model

    def write(self, folder: Path) -> None:
        """Write the checkpoint and the log into a folder.

        Raises
        ------
        WriteError
            When the disk is full, say; the checkpoint that was there stays, if there was one.
        """
        tensors = {f"model/{name}": value for name, value in self.model.items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for number, state in self.optimiser.items():
            tensors |= {f"optimiser/{number}/{name}": value for name, value in state.items()}
        tensors["log"] = torch.frombuffer(bytearray(self.log.content()), dtype=torch.uint8)
        header = {
            "run": self.run,
            "progress": asdict(self.progress),
            "sums": self.losses.sums,
            "sums_of_others": self.sums_of_others,
            "n_steps": self.losses.n_steps,
            "last_finite": self.losses.last_finite,
        }
        path = folder / CHECKPOINT_FILE
        with atomic_file(path) as aside:
            try:
                save_file(tensors, aside, {KEY: json.dumps(header)})
            except SafetensorError as fault:
                before = (
                    "the checkpoint before it is kept"
                    if path.exists()
                    else "it was the first one, and no step of the run is kept"
                )
                raise WriteError(f"could not write {path}: {fault}; {before}") from None
        self.log.write(folder)

    @classmethod
    def read(cls, folder: Path, *, rank: int = 0) -> Checkpoint | None:
        """Read the checkpoint of a folder for a rank; None where there is none.

        Raises
        ------
        TrainingError
            When it is damaged.
        """
        path = folder / CHECKPOINT_FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()[KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            progress = Progress(**header["progress"])
            log = Log(tensors.pop("log").numpy().tobytes())
            # The checkpoint that all ranks begin with knows of no others.
            sums = [header["sums"], *header.get("sums_of_others", [])]
            losses = Losses(sums[rank] if rank < len(sums) else {}, header["n_steps"], header["last_finite"])
        except (SafetensorError, KeyError, TypeError, ValueError) as fault:
            raise TrainingError(f"{path} is damaged ({fault}); remove it to train from the start") from None
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}}
        optimiser: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            if part == "optimiser":
                number, _, rest = rest.partition("/")
                optimiser.setdefault(int(number), {})[rest] = value
            else:
                parts[part][rest] = value
        return cls(header["run"], parts["model"], progress, parts["best"], optimiser, log, losses, sums[1:])


def step_reached(folder: Path) -> int:
    """Return the step of the checkpoint in a folder; 0 where there is none, or none that can be read."""
    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            return int(json.loads(file.metadata()[KEY])["progress"]["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0


def describe_run(network: Network, shards: Shards, plan: FitPlan) -> dict[str, Any]:
    """Return what decides the result of a run, in JSON."""
    held = {each.name: getattr(plan, each.name) for each in fields(plan) if each.name not in FREE}
    return {
        "model": network.name,
        "settings": network.settings.model_dump(mode="json"),
        "facts": canonical_digest(network.facts.model_dump(mode="json")),
        "genes": network.genes.digest,
        "shards": canonical_digest(shards.header.model_dump(mode="json", exclude={"created", "software"})),
        "plan": {**held, "budget": asdict(plan.budget)},
    }


def check_same_run(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with the checkpoint of another run.

    Raises
    ------
    TrainingError
        Naming the first thing that differs.
    """
    was, now = _flat(found), _flat(wanted)
    for name in dict.fromkeys([*now, *was]):
        if was.get(name) != now.get(name):
            raise TrainingError(
                f"{folder} holds the checkpoint of another run: its {name} is {was.get(name)!r}, not "
                f"{now.get(name)!r}; give another folder, or remove this one to train from the start"
            )


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU that share no memory."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": each for key, each in _flat(value).items()}
        else:
            flat[name] = value
    return flat
