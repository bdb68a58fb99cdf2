"""Trainings that have begun and not ended: killed, broken off, or under way.

::

    <workspace>/models/.<name>.partial/
        asked.json            what is to be made
        shards.json           what it is fitted to
        stopped.json          why it broke off, where that was no kill
        run/                  checkpoint and log
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from curate.atomic import claim_partial, partial_of
from curate.documents import Document
from curate.errors import ModelError
from curate.train.artifact.document import Asked

if TYPE_CHECKING:
    from pathlib import Path

ASKED_FILE: Final = "asked.json"
STOPPED_FILE: Final = "stopped.json"
SHARDS_FILE: Final = "shards.json"
RUN_FOLDER: Final = "run"


class BrokenOff(Document):
    """The content of stopped.json.

    Attributes
    ----------
    why
        The error, in its words.
    checkpoint_step
        Of the checkpoint that is kept; 0 where there is none.
    """

    why: str
    checkpoint_step: int


@dataclass(frozen=True)
class Unfinished:
    """A training that has not ended.

    Attributes
    ----------
    name
        Of the model that it was to become.
    path
        Where what it has reached lies.
    broken_off
        Why it ended before its time; None where it was killed, or is under way.
    """

    name: str
    path: Path
    broken_off: BrokenOff | None


def unfinished(folder: Path) -> list[Unfinished]:
    """Return the trainings in a folder of models that have begun and not ended, by name."""
    found = sorted(path.parent for path in folder.glob(f".*.partial/{ASKED_FILE}"))
    return [Unfinished(each.name[1:].removesuffix(".partial"), each, _why(each)) for each in found]


def why_it_broke_off(path: Path) -> BrokenOff | None:
    """Return why the training of the model `path` ended before its time; None where nobody wrote that."""
    return _why(partial_of(path))


def make_room(path: Path, asked: Asked) -> None:
    """Refuse a name under which another training was interrupted, rather than remove its checkpoint.

    One that broke off before its first checkpoint has nothing to lose, and is removed.

    Raises
    ------
    ModelError
        Naming what differs.
    WriteError
        When another run is at work on it.
    """
    aside = partial_of(path)
    try:
        found = Asked.model_validate_json((aside / ASKED_FILE).read_text())
    except (OSError, ValidationError):
        return
    if found == asked:
        return
    broken_off = _why(aside)
    if broken_off is not None and not broken_off.checkpoint_step:
        with claim_partial(path):
            return
    before, now = found.model_dump(), asked.model_dump()
    differing = ", ".join(key for key in now if before[key] != now[key])
    raise ModelError(
        f"{aside} holds an interrupted run of another {differing} ({found.id[:8]}, not {asked.id[:8]}); "
        "give this one another --name, or remove the folder"
    )


def _why(aside: Path) -> BrokenOff | None:
    try:
        return BrokenOff.model_validate_json((aside / STOPPED_FILE).read_text())
    except (OSError, ValidationError):
        return None
