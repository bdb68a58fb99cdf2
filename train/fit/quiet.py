"""Lightning without its chatter: it is our engine, and what a user reads is ours."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = ("lightning.pytorch", "lightning.fabric")
#: Starts of warnings that a user can do nothing about: of Lightning's own use of torch, and its advice.
WARNINGS = (
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",
    "Found .* module\\(s\\) in eval mode",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no notes and tips of Lightning while the block runs; errors are raised as ever."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for start in WARNINGS:
                warnings.filterwarnings("ignore", message=start)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
