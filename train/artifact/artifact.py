"""A trained model on disk.

::

    <workspace>/models/<name>/
        config.json           model, settings, facts, genes: what its shapes follow from
        weights.safetensors   parameters and buffers
        genes.parquet         feature_id and feature_name of the genes that it reads, in order
        metrics.parquet       step, n_cells, epoch, seconds, split, metric, value
        README.md             model card
        run.json              manifest, settings, seed, budget, cost, environment, sha256 of the others

Made by `curate.train.artifact.train.train`. Nothing in the folder is executed when it is opened.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from curate.documents import file_digest, is_as_sealed, read_header
from curate.errors import ModelError
from curate.nearest import nearest
from curate.train.artifact.document import FORMAT, RunDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.train.models.model import Model
    from curate.workspace import Workspace

RUN_FILE: Final = "run.json"
CARD_FILE: Final = "README.md"
METRICS_FILE: Final = "metrics.parquet"
AGAIN = "copy it again from where it came, or remove the folder and train it again"
MIN_DIGITS = 6


@dataclass(frozen=True)
class Artifact:
    """An opened folder of a trained model. Opening reads run.json."""

    path: Path
    header: RunDocument

    @classmethod
    def open(cls, path: str | Path) -> Artifact:
        """Open the trained model in a folder.

        Raises
        ------
        ModelError
            When there is none, its format is not known, or run.json is damaged.
        """
        folder = Path(path)
        header = read_header(
            folder / RUN_FILE,
            RunDocument,
            number=FORMAT,
            error=ModelError,
            noun="holds a trained model",
            absent=f"{folder} holds no trained model ({RUN_FILE}); train one with `curate train`",
            remedy=AGAIN,
        )
        return cls(folder, header)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @property
    def id(self) -> str:
        """sha256 (hex) over all that decides it."""
        return self.header.id

    @property
    def n_bytes(self) -> int:
        """Size of all its files."""
        return sum(each.stat().st_size for each in self.path.iterdir() if each.is_file())

    def load(self) -> Model:
        """Return the model, on the processor, in eval mode.

        Raises
        ------
        ModelError
            When a file is missing, has changed, or does not fit the others.
        """
        from curate.train.models.files import CONFIG_FILE, load

        # Shapes and settings follow from it; the files that it names it vouches for itself.
        if (self.path / CONFIG_FILE).is_file():
            self._check(CONFIG_FILE)
        return load(self.path)

    def metrics(self) -> pl.DataFrame:
        """Return the log of its training: step, n_cells, epoch, seconds, split, metric, value."""
        return pl.read_parquet(self.path / METRICS_FILE)

    def verify(self) -> None:
        """Compare every file with its sha256, run.json with its own digest, the id with what it is made of.

        Raises
        ------
        ModelError
            Naming the first thing that is not what was written.
        """
        for name in self.header.files:
            self._check(name)
        path = self.path / RUN_FILE
        found = self.header.asked.id
        if found != self.id:
            raise ModelError(
                f"{path} is damaged: its id is {self.id[:12]}, recomputed as {found[:12]}; {AGAIN}"
            )
        is_whole = is_as_sealed(path)
        if not is_whole:
            said = "holds no digest of itself" if is_whole is None else "has changed since it was written"
            raise ModelError(f"{path} {said}, so that nobody can tell what was in it; {AGAIN}")

    @property
    def damage(self) -> str | None:
        """What is wrong with the sizes of its files, which are looked at in no time; None for nothing."""
        for name in self.header.files:
            path, n_bytes = self.path / name, self.header.n_bytes.get(name)
            if not path.is_file():
                return f"{path} is missing; {AGAIN}"
            if n_bytes is not None and path.stat().st_size != n_bytes:
                return f"{path} has {path.stat().st_size:,} bytes, not {n_bytes:,}; {AGAIN}"
        return None

    def text(self) -> str:
        """Return its model card.

        Raises
        ------
        ModelError
            When it is missing, or has changed since it was written.
        """
        self._check(CARD_FILE)
        return (self.path / CARD_FILE).read_text()

    @property
    def others(self) -> list[str]:
        """Names of what lies in the folder and is no part of the model."""
        own = {RUN_FILE, *self.header.files}
        return sorted(path.name for path in self.path.iterdir() if path.name not in own)

    def _check(self, name: str) -> None:
        path = self.path / name
        if not path.is_file():
            raise ModelError(f"{path} is missing; {AGAIN}")
        if file_digest(path) != self.header.files[name]:
            raise ModelError(
                f"{path} ({path.stat().st_size:,} bytes) has changed since it was written: its sha256 is "
                f"not the one that {RUN_FILE} records; {AGAIN}"
            )


def check_name(name: str) -> None:
    """Refuse a name that is no plain folder name.

    Raises
    ------
    ModelError
        When it holds anything but letters, digits, dot, dash, plus, equals and underscore, or begins with a
        dot or dash.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=-]*", name):
        raise ModelError(
            f"{name!r} cannot name a model; use letters, digits, dot, dash and underscore: scvi-lung"
        )


def artifacts(folder: Path) -> Iterator[Artifact | ModelError]:
    """Yield the trained models in a folder, by name; in place of one that cannot be opened, why not."""
    for path in sorted(folder.glob(f"[!.]*/{RUN_FILE}")):
        try:
            yield Artifact.open(path.parent)
        except ModelError as error:
            yield error


def find_model(ref: str | Path, workspace: Workspace | None = None) -> Artifact:
    """Open a trained model.

    Parameters
    ----------
    ref
        Its name in the workspace, the path of its folder, or the first 6 or more digits of its id.
    workspace
        By default the one that the current folder is in, looked for when `ref` is no path.

    Raises
    ------
    ModelError
        When there is none, naming the nearest, or several.
    WorkspaceError
        When `ref` is no path, and there is no workspace.
    """
    if isinstance(ref, Path) or ref.startswith((".", "~")) or os.sep in ref:
        path = Path(ref).expanduser()
        return Artifact.open(path.parent if path.name == RUN_FILE else path)
    from curate.workspace import Workspace

    folder = (workspace or Workspace.find()).models_path
    if (folder / ref / RUN_FILE).is_file() and not ref.startswith("."):
        return Artifact.open(folder / ref)
    held = [each for each in artifacts(folder) if isinstance(each, Artifact)]
    if re.fullmatch(rf"[0-9a-f]{{{MIN_DIGITS},64}}", ref):
        found = [each for each in held if each.id.startswith(ref)]
        if len(found) > 1 and len({each.id for each in found}) > 1:
            names = ", ".join(each.name for each in found)
            raise ModelError(f"{len(found)} trained models have an id that begins with {ref}: {names}")
        if found:
            return found[0]
    hint = nearest(ref, [each.name for each in held]) if held else "train one with `curate train`"
    raise ModelError(f"no trained model named {ref!r} in {folder}; {hint}")
