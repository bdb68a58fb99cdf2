"""JSON documents on disk: strict models, canonical bytes and their digests."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from curate.atomic import atomic_file
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from curate.errors import CurateError


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int) else value


Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], BeforeValidator(_parts)]
"""Several values; a text lists them, as "knn,centroid" or "256,128", and one alone is a list of one."""


class Document(BaseModel):
    """A document that refuses keys it does not know and cannot be changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def save(self, path: Path) -> None:
        """Write the document as indented JSON, aside and renamed."""
        with atomic_file(path) as aside:
            aside.write_text(json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


class SealedDocument(Document):
    """A document that is written with the digest of its own content, so that one which was edited is told.

    Attributes
    ----------
    digest
        sha256 (hex) over the canonical JSON of all other keys; empty in what was not read from a file.
    """

    digest: str = ""

    def save(self, path: Path) -> None:
        """Write the document with its digest, aside and renamed."""
        content = self.model_dump(mode="json", exclude={"digest"})
        Document.save(self.model_copy(update={"digest": canonical_digest(content)}), path)


def is_as_sealed(path: Path) -> bool | None:
    """Tell whether the content of a sealed document is that which was written; None where it has no digest.

    What counts is what stands in the file: keys that a later version knows, and their defaults, do not.
    """
    content = json.loads(path.read_text())
    digest = content.pop("digest", "")
    if not digest:
        return None
    try:
        return bool(digest == canonical_digest(content))
    except ValueError:
        # NaN, which JSON does not know and nobody writes.
        return False


Held = TypeVar("Held", bound=Document)


def read_header(
    path: Path,
    model: type[Held],
    *,
    number: int,
    error: type[CurateError],
    noun: str,
    absent: str,
    remedy: str,
) -> Held:
    """Read the document that stands at the head of a folder.

    Parameters
    ----------
    number
        The format that is read.
    noun
        Verb and name of what the folder holds: "is a source", "holds shards".
    absent
        What to say where there is none; remedy: what to do about one that is damaged.

    Raises
    ------
    CurateError
        An `error`, when it is absent, damaged, or of another format.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        raise error(absent) from None
    if isinstance(content, dict) and content.get("format") != number:
        found = content.get("format")
        raise error(f"{path.parent} {noun} of format {found!r}, this curate reads {number}; update curate")
    try:
        return model.model_validate(content)
    except ValidationError as fault:
        where, what = first_fault(fault)
        raise error(f"{path} is damaged at {where}: {what}; {remedy}") from None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return where the first fault of a document lies, keys joined by dots, and what it is."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def fault_in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong; an unknown key first, for it is often why another one is missing."""
    faults = error.errors()
    fault = min(faults, key=lambda each: each["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        what = fault["msg"].removeprefix("Value error, ")
        return f"{where}: {what}" if where else what
    *parents, key = fault["loc"]
    return f"unknown key {where!r}; {nearest(str(key), _keys(model, parents))}"


def _keys(model: type[BaseModel], parents: Sequence[int | str]) -> list[str]:
    """Return the keys of the table that lies below `parents`; a table may be one of several things."""
    is_one_of_several = False
    for parent in parents:
        if is_one_of_several:
            # Its place in a list, or its name among tables of one kind.
            is_one_of_several = False
            continue
        kind = model.model_fields[str(parent)].annotation
        held = (kind, *get_args(kind))
        model = next(each for each in held if isinstance(each, type) and issubclass(each, BaseModel))
        is_one_of_several = get_origin(kind) in (tuple, list, dict)
    return list(model.model_fields)


def canonical_digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of the canonical JSON of `content`: sorted keys, no white space, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file, read in a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
