"""Read the files of a manifest from a folder or an fsspec URL; say plainly what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from curate.errors import ManifestError
from curate.manifests.document import FORMAT, ManifestDocument, header_digest
from curate.nearest import nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DOCUMENT_FILE = "manifest.json"
CELLS_FILE = "cells.parquet"
RESTORE = "restore it from a copy, or build the manifest again"


def is_url(reference: str) -> bool:
    """Whether a reference names a place by protocol, as memory:// and s3:// do."""
    return "://" in reference


def read_file(folder: str, name: str) -> bytes:
    """Return the bytes of a file of a manifest.

    Parameters
    ----------
    folder
        A local path or an fsspec URL.

    Raises
    ------
    ManifestError
        When it is missing, cannot be read, or cannot be reached.
    """
    if is_url(folder):
        return _read_url(folder, name)
    try:
        return Path(folder, name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(f"{folder} has no {name}; {RESTORE}") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"could not read {name} of {folder}: {error}") from error


def _read_url(url: str, name: str) -> bytes:
    try:
        import fsspec

        with fsspec.open(f"{url.rstrip('/')}/{name}", "rb") as stream:
            content: bytes = stream.read()
            return content
    except FileNotFoundError as error:
        if _answered(error):
            raise ManifestError(f"{url} has no {name}; {RESTORE}") from None
        raise ManifestError(unreachable(url, error.__cause__ or error)) from error
    except (ImportError, ValueError) as error:
        raise ManifestError(f"could not read {name} of {url}: {error}") from error
    except Exception as error:  # every backend of fsspec has errors of its own, and no common root
        raise ManifestError(unreachable(url, error)) from error


def unreachable(url: str, error: BaseException) -> str:
    """Return what to say, in one line, when the backend of a URL fails."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{url} cannot be reached: {reason}; check the address, the network and the credentials"


def _answered(error: FileNotFoundError) -> bool:
    """Whether it was the server that said that there is no such file.

    fsspec calls a file of a host that does not answer missing, too, and keeps what happened as the cause.
    """
    cause = error.__cause__
    is_answer_of_s3 = hasattr(cause, "response")
    return cause is None or isinstance(cause, FileNotFoundError) or is_answer_of_s3


def file_digest_of(content: bytes) -> str:
    """Return the sha256 (hex) of the bytes of a file."""
    return hashlib.sha256(content).hexdigest()


def read_document(folder: str) -> ManifestDocument:
    """Read manifest.json of a folder or URL.

    Raises
    ------
    ManifestError
        When it is missing, damaged, of a later format, holds an unknown key, or was changed after it was
        written.
    """
    return parse_document(read_file(folder, DOCUMENT_FILE), where=f"{folder}/{DOCUMENT_FILE}")


def parse_document(data: bytes, *, where: str) -> ManifestDocument:
    """Read manifest.json from its bytes; `where` names it in errors.

    Raises
    ------
    ManifestError
        As `read_document`.
    """
    content = _parse_json(data, where)
    declared = content.get("format")
    if isinstance(declared, int) and declared > FORMAT:
        raise ManifestError(f"{where}: format {declared} is later than this curate reads ({FORMAT}); upgrade")
    if declared != FORMAT:
        raise ManifestError(
            f"{where}: format {declared!r} is not a manifest format; this curate reads {FORMAT}"
        )
    try:
        document = ManifestDocument.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise ManifestError(f"{where}: {_first_reason(error)}") from None
    if header_digest(content) != document.digest:
        raise ManifestError(f"{where} was changed after it was written (its digest differs); {RESTORE}")
    return document


def _parse_json(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ManifestError(f"{where} is damaged: not JSON ({error}); {RESTORE}") from None
    if not isinstance(content, dict):
        raise ManifestError(f"{where} is damaged: not a JSON object; {RESTORE}")
    return content


def _first_reason(error: ValidationError) -> str:
    first = error.errors()[0]
    at = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{at}: {first['msg']}; {RESTORE}"
    return f"unknown key {at!r}; {nearest(str(first['loc'][-1]), _known_keys(first))}"


def _known_keys(error: ErrorDetails) -> list[str]:
    """Return the keys that the record holding an unknown one does know."""
    model: type[BaseModel] = ManifestDocument
    for part in error["loc"][:-1]:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        for held in (
            model.model_fields[part].annotation,
            *getattr(model.model_fields[part].annotation, "__args__", ()),
        ):
            if isinstance(held, type) and issubclass(held, BaseModel):
                model = held
    return list(model.model_fields)
