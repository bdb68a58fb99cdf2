"""Arrays that took long to compute, kept on disk under a digest of what decides them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from curate.atomic import atomic_file
from curate.documents import canonical_digest
from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Kept:
    """A folder of arrays. It can be removed at any time; what is asked for again is computed again."""

    folder: Path

    def arrays(
        self, decided_by: Mapping[str, Any], make: Callable[[], dict[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Return what `make` returns; the second time with equal `decided_by` from disk.

        Where nothing can be written, nothing is kept.
        """
        path = self.folder / f"{canonical_digest(decided_by)}.safetensors"
        with suppress(OSError, SafetensorError):
            return load_file(path)
        made = make()
        with suppress(WriteError), atomic_file(path) as aside:
            save_file(made, aside)
        return made
