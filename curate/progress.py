"""Progress bars on stderr, silent when stderr is not a terminal."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

_shown: list[Progress] = []
"""The display that is on the screen, if any: a terminal has room for one."""


@contextmanager
def progress(description: str, total: int, *, unit: str = "cells") -> Iterator[Callable[[int], None]]:
    """Show a bar for as long as the block runs; yield the function that advances it by n.

    Within the block of another it is a line below that one's.
    """
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    with ExitStack() as stack:
        if _shown:
            bar = _shown[0]
        else:
            bar = stack.enter_context(_display())
            _shown.append(bar)
            stack.callback(_shown.clear)
        task = bar.add_task(description, total=total, unit=unit)
        if len(bar.tasks) > 1:
            stack.callback(bar.remove_task, task)
        yield lambda n: bar.advance(task, n)


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} / {task.total:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
