"""Charts: the house theme and the files."""

from pathlib import Path

import altair as alt
import pytest

from curate import charts
from curate.charts import COLOURS, SHAPES, colour_of, framed, save_chart, series_legend, shape_of
from curate.errors import WriteError


def chart_of(series: list[str]) -> alt.Chart:
    rows = [{"x": at, "y": at, "series": name} for at, name in enumerate(series)]
    points = alt.Chart(alt.InlineData(values=rows)).mark_point()
    encoded: alt.Chart = points.encode(x="x:Q", y="y:Q", color=colour_of(series), shape=shape_of(series))
    return encoded


def test_a_chart_has_a_title_above_and_its_source_below(tmp_path: Path) -> None:
    chart = framed(chart_of(["a"]), title="A title", subtitle=["what is drawn"], source=["from where"])
    spec = chart.to_dict()
    assert spec["title"]["text"] == ["from where"]
    assert spec["title"]["orient"] == "bottom"
    assert spec["vconcat"][0]["title"]["text"] == "A title"
    path = tmp_path / "chart.svg"
    save_chart(chart, path)
    for expected in ("A title", "what is drawn", "from where", "Liberation Sans"):
        assert expected in path.read_text()


def test_series_differ_in_colour_and_in_shape() -> None:
    series = [f"series {at}" for at in range(7)]
    encoding = chart_of(series).to_dict()["encoding"]
    for channel, values in (("color", COLOURS), ("shape", SHAPES)):
        assert encoding[channel]["scale"]["domain"] == series
        assert encoding[channel]["scale"]["range"] == list(values)
        assert len(set(values)) == 7
        assert encoding[channel]["legend"] is None


def test_more_series_than_colours_begin_again() -> None:
    ranges = chart_of([str(at) for at in range(9)]).to_dict()["encoding"]["color"]["scale"]["range"]
    assert ranges == [*COLOURS, *COLOURS[:2]]


def test_a_legend_names_every_series_in_lines_that_fit() -> None:
    series = [f"a rather long name of a series, {at}" for at in range(5)]
    legend = series_legend(series, width=500).to_dict()
    (rows,) = legend["datasets"].values()
    assert [row["series"] for row in rows] == series
    assert len({row["y"] for row in rows}) > 1
    assert all(row["x"] + 6.3 * len(row["series"]) < 500 for row in rows)


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<svg"), (".html", b"<")])
def test_the_name_of_the_file_says_the_format(tmp_path: Path, suffix: str, begin: bytes) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        save_chart(framed(chart_of(["a", "b"]), title="Title"), path)
    assert paths[0].read_bytes().lstrip().startswith(begin)
    assert suffix == ".html" or paths[0].read_bytes() == paths[1].read_bytes()


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"chart\.pdf ends in none of \.png, \.svg, \.html"):
        save_chart(framed(chart_of(["a"]), title="Title"), tmp_path / "chart.pdf")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None if name == "vl_convert" else name)
    with pytest.raises(
        WriteError, match=r"needs vl_convert, not installed; pip install 'cellcurate\[report\]'"
    ):
        charts.check_charts()
