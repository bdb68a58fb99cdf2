"""Lines that lie on one another are found, panel by panel."""

import polars as pl

from curate.build.diversity.overlays import Overlay, find_overlays, levels_of, told

SERIES = ["random", "sketch", "random (spike-in screen 0.1)"]


def table(values: dict[str, dict[str, list[float]]]) -> pl.DataFrame:
    """Return rows of {index: {series: values over sizes}}."""
    return pl.DataFrame(
        [
            {"subject": "cell_type", "index": index, "series": name, "size": 0.1 * (at + 1), "value": value}
            for index, lines in values.items()
            for name, line in lines.items()
            for at, value in enumerate(line)
        ]
    )


def test_a_line_that_lies_on_an_earlier_one_in_half_of_the_panels_is_named() -> None:
    apart = {SERIES[0]: [1.0, 2.0], SERIES[1]: [3.0, 9.0], SERIES[2]: [1.5, 2.5]}
    close = {SERIES[0]: [1.0, 2.0], SERIES[1]: [3.0, 9.0], SERIES[2]: [1.01, 2.02]}
    found = find_overlays(table({"shannon": close, "vendi": apart}), SERIES)
    assert found == [Overlay(SERIES[2], SERIES[0], 1, 2)]
    assert levels_of(SERIES, found) == [0, 0, 1]
    assert told(found, {SERIES[2]: "random"})[-1] == (
        "They lie on the line of those without, nearly: random (1 of 2 panels)"
    )
    assert told(found, {}) == [
        "Dashed as they lie on another line, nearly: random (spike-in screen 0.1) on random (1 of 2 panels)"
    ]


def test_lines_that_are_close_at_some_sizes_only_are_not() -> None:
    found = find_overlays(
        table({"shannon": {SERIES[0]: [1.0, 2.0], SERIES[1]: [3.0, 9.0], SERIES[2]: [1.0, 3.0]}}), SERIES
    )
    assert (found, levels_of(SERIES, found), told(found, {})) == ([], [0, 0, 0], [])


def test_a_line_on_two_that_lie_on_one_another_is_a_level_higher() -> None:
    same = {name: [1.0, 2.0] for name in SERIES}
    found = find_overlays(table({"shannon": same}), SERIES)
    assert levels_of(SERIES, found) == [0, 1, 2]
    assert len(told(found, {})) == 2
