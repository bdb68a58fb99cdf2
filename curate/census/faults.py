"""What TileDB raises, made fit to be told: one sentence, and an interruption as what it is."""

from __future__ import annotations

import re

import tiledbsoma as soma

#: TileDB raises both.
FAULTS = (soma.SOMAError, RuntimeError)
_WRAPPING = re.compile(r"^(\s*(\[TileDB::\w+\] (Error|Warning): |Caught std::exception: |Error: ))+")
#: "[Error Type: 15] [HTTP Response Code: 403] ... [Headers: ...]" of S3, whose values may hold brackets.
_DETAILS = re.compile(r"\s*\[Error Type: .*\](\s*:)?", re.DOTALL)


def sentence(error: BaseException) -> str:
    """Return the first sentence of an error that means something to a reader.

    Raises
    ------
    KeyboardInterrupt
        When it is TileDB's answer to Ctrl-C: its own handler of the signal cancels what is under way.
    """
    text = str(error)
    if "Query cancelled" in text:
        raise KeyboardInterrupt from error
    text = _DETAILS.sub(":", text).strip()
    for line in text.splitlines():
        said = _WRAPPING.sub("", line).partition("; Details:")[0].strip().rstrip(".;:")
        if said:
            return said
    return type(error).__name__
