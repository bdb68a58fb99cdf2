"""JSON documents on disk: strict models, canonical bytes and their digests."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from curate.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import ValidationError


class Document(BaseModel):
    """A document that refuses keys it does not know and cannot be changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def save(self, path: Path) -> None:
        """Write the document as indented JSON, aside and renamed."""
        with atomic_file(path) as aside:
            aside.write_text(json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return where the first fault of a document lies, keys joined by dots, and what it is."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def canonical_digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of the canonical JSON of `content`: sorted keys, no white space, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file, read in a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
