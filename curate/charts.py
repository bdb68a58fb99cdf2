"""How charts look, and how they are written: one theme for every chart of curate.

Charts are Altair's (the grammar of Vega-Lite), drawn without a browser and without a network by vl-convert,
which brings its fonts: a PNG is the same picture on every machine. Both packages come with the extra
``[report]``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.atomic import atomic_file
from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import altair as alt

FORMATS = (".png", ".svg", ".html")
#: Okabe & Ito's colours, told apart with every common kind of colour vision; not their yellow, which is pale.
#: From the eighth on, of Tol's muted ones.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
    *("#882255", "#999933", "#8a8a8a", "#332288", "#661100"),
)
#: Beside the colour, so that lines are told apart in grey too, and where colours begin again.
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
#: Of lines that lie on others, or whose colours began again: solid, then ever shorter.
DASHES = ((1, 0), (7, 4), (3, 3), (1, 3))
INK, FAINT, GRID = "#222222", "#6b6b6b", "#e6e6e6"
PIXELS_PER_UNIT = 2.0

_FONT = "Liberation Sans, Helvetica, Arial, sans-serif"


def check_charts() -> None:
    """Refuse to begin what would end in a chart that cannot be drawn.

    Raises
    ------
    WriteError
        When a package of the extra [report] is missing.
    """
    missing = [name for name in ("altair", "vl_convert") if find_spec(name) is None]
    if missing:
        raise WriteError(
            f"a chart needs {' and '.join(missing)}, not installed; pip install 'cellcurate[report]'"
        )


def framed(
    chart: alt.ConcatChart | alt.VConcatChart | alt.HConcatChart | alt.Chart | alt.LayerChart,
    *,
    title: str,
    subtitle: Sequence[str] = (),
    source: Sequence[str] = (),
) -> alt.VConcatChart:
    """Put a title above a chart and a line about its source below, and give it the house theme.

    Parameters
    ----------
    subtitle, source
        A text a line.
    """
    import altair as alt

    above = alt.TitleParams(title, subtitle=list(subtitle))
    below = alt.TitleParams(
        list(source),
        orient="bottom",
        anchor="start",
        fontSize=10,
        fontWeight="normal",
        color=FAINT,
        offset=14,
    )
    # Two frames, since a chart has one title.
    whole: alt.VConcatChart = alt.vconcat(alt.vconcat(chart, title=above), title=below).configure(**theme())
    return whole


def colour_of(series: Sequence[str], like: Mapping[str, str] | None = None) -> alt.Color:
    """Return the colour of the field "series", the same in every panel; `series_legend` explains it.

    Parameters
    ----------
    like
        Series that have the colour of another one.
    """
    import altair as alt

    colours = [COLOURS[at % len(COLOURS)] for at, _ in _places(series, like)]
    return alt.Color("series:N", scale=alt.Scale(domain=list(series), range=colours), legend=None)


def shape_of(series: Sequence[str], like: Mapping[str, str] | None = None) -> alt.Shape:
    """Return the shape of the field "series", the same in every panel; series of one colour differ in it."""
    import altair as alt

    shapes = [SHAPES[(at + at // len(COLOURS) + nth) % len(SHAPES)] for at, nth in _places(series, like)]
    return alt.Shape("series:N", scale=alt.Scale(domain=list(series), range=shapes), legend=None)


def _places(series: Sequence[str], like: Mapping[str, str] | None) -> list[tuple[int, int]]:
    """Return the number of the colour of each series, and the how manieth it is of that colour."""
    leading = list(dict.fromkeys((like or {}).get(name, name) for name in series))
    n_of: dict[str, int] = {}
    places = []
    for name in series:
        leader = (like or {}).get(name, name)
        n_of[leader] = n_of.get(leader, -1) + 1
        places.append((leading.index(leader), n_of[leader]))
    return places


def dash_of(
    series: Sequence[str], levels: Sequence[int], like: Mapping[str, str] | None = None
) -> alt.StrokeDash:
    """Return the dashes of the field "series": by its level (`levels`), and where colours began again."""
    import altair as alt

    begun = [at // len(COLOURS) for at, _ in _places(series, like)]
    dashes = [list(DASHES[(level + again) % len(DASHES)]) for level, again in zip(levels, begun, strict=True)]
    return alt.StrokeDash("series:N", scale=alt.Scale(domain=list(series), range=dashes), legend=None)


def series_legend(
    series: Sequence[str],
    *,
    levels: Sequence[int] | None = None,
    like: Mapping[str, str] | None = None,
    width: int = 900,
    shown: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Return a legend for charts of several panels, to stand above them in lines of up to `width` pixels.

    A legend of Vega-Lite's own would stand above the title, or shift one of the panels.

    Parameters
    ----------
    levels
        Of lines, as `dash_of`; without, the legend is of points.
    like
        As `colour_of`.
    shown
        Of the series, those that are explained; all by default.
    """
    import altair as alt

    rows, x, y = [], 8.0, 9.0
    sample = 0.0 if levels is None else 30.0
    for name in series if shown is None else shown:
        needed = sample + 30 + 6.3 * len(name)
        if x + needed > width and x > 8:
            x, y = 8.0, y + 18
        text = x + 11 + sample
        rows.append(
            {"series": name, "x": x, "end": x + sample, "middle": x + sample / 2, "text": text, "y": y}
        )
        x += needed
    height = y + 9
    base = alt.Chart(alt.InlineData(values=rows), width=width, height=height)

    def at(channel: Any, field: str, extent: float) -> Any:
        domain = [0, extent] if channel is alt.X else [extent, 0]
        return channel(f"{field}:Q", axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))

    x_extent = float(width)
    points = base.mark_point(size=65, filled=True, opacity=1).encode(
        x=at(alt.X, "middle", x_extent),
        y=at(alt.Y, "y", height),
        color=colour_of(series, like),
        shape=shape_of(series, like),
    )
    texts = base.mark_text(align="left", baseline="middle", fontSize=12, color=INK).encode(
        x=at(alt.X, "text", x_extent), y=at(alt.Y, "y", height), text="series:N"
    )
    if levels is None:
        return alt.LayerChart(layer=[points, texts])
    lines = base.mark_rule(strokeWidth=2).encode(
        x=at(alt.X, "x", x_extent),
        x2=alt.X2("end:Q"),
        y=at(alt.Y, "y", height),
        color=colour_of(series, like),
        strokeDash=dash_of(series, levels, like),
    )
    return alt.LayerChart(layer=[lines, points, texts])


def theme() -> dict[str, Any]:
    """Return the house theme as a configuration of Vega-Lite."""
    return {
        "background": "white",
        "font": _FONT,
        "padding": 16,
        "view": {"stroke": None},
        "title": {
            "anchor": "start", "color": INK, "fontSize": 16, "fontWeight": "bold", "subtitleColor": FAINT,
            "subtitleFontSize": 12, "subtitlePadding": 5, "offset": 14,
        },
        "axis": {
            "labelColor": INK, "labelFontSize": 11, "titleColor": INK, "titleFontSize": 11,
            "titleFontWeight": "normal", "gridColor": GRID, "domainColor": FAINT, "tickColor": FAINT,
            "tickSize": 4,
        },
        "range": {"category": list(COLOURS)},
        "concat": {"spacing": 26},
    }  # fmt: skip


def chart_svg(chart: alt.VConcatChart) -> str:
    """Return a chart as an element to stand in a page of HTML.

    Raises
    ------
    WriteError
        When a package of the extra [report] is missing.
    """
    check_charts()
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return svg


def save_chart(chart: alt.VConcatChart, path: Path) -> None:
    """Write a chart as the format that the name of the file says.

    Parameters
    ----------
    path
        Ends in one of FORMATS. HTML holds all it needs, and shows without a network.

    Raises
    ------
    WriteError
        When the name ends in something else, a package is missing, or the file cannot be written.
    """
    check_charts()
    if path.suffix not in FORMATS:
        raise WriteError(f"{path} ends in none of {', '.join(FORMATS)}; name the format of the chart so")
    import vl_convert

    spec = chart.to_dict()
    content: bytes | str
    if path.suffix == ".png":
        content = vl_convert.vegalite_to_png(spec, scale=PIXELS_PER_UNIT)
    elif path.suffix == ".svg":
        content = vl_convert.vegalite_to_svg(spec)
    else:
        content = vl_convert.vegalite_to_html(spec, bundle=True)
    with atomic_file(path) as aside:
        aside.write_bytes(content if isinstance(content, bytes) else content.encode())
