"""Work in threads that keeps its order: what comes out does not depend on how many there are."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items; a thread makes the next one while one is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, iterator, None)
            yield item


def mapped(function: Callable[[T], R], items: Iterable[T], *, n_threads: int = 2) -> Iterator[R]:
    """Yield ``function(item)`` of each item, in order, computed in threads.

    The items are drawn in the thread of the caller. At most `n_threads` + 1 are held at a time: those worked
    on, and one that is done and waits for its turn.
    """
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
