"""Order, errors and the number of items under way."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from curate.threads import ahead, mapped

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items_whoever_is_first_done(n_threads: int) -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return 10 * i

    assert list(mapped(slow_first, range(7), n_threads=n_threads)) == [0, 10, 20, 30, 40, 50, 60]


def test_no_more_items_are_drawn_than_threads_and_one() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            drawn.append(i)
            yield i

    results = mapped(lambda i: i, items(), n_threads=2)
    assert next(results) == 0
    assert len(drawn) == 3


def test_two_items_are_worked_on_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    assert list(mapped(lambda _: both.wait() >= 0, range(2), n_threads=2)) == [True, True]


def test_an_error_of_an_item_reaches_the_caller_after_the_results_before_it() -> None:
    results = mapped(lambda i: 1 // (2 - i), range(5))
    assert next(results) == 0
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ahead_makes_the_next_item_while_one_is_used() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for i in range(3):
            made.release()
            yield i

    results = ahead(items())
    assert next(results) == 0
    assert made.acquire(timeout=10)
    assert made.acquire(timeout=10), "the second item was not begun while the first was used"
    assert list(results) == [1, 2]
