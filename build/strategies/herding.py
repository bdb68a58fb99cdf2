"""Kernel herding: cells whose means of many functions are those of all cells.

1. a map into features whose inner products are a kernel (`herding_features`);
2. one cell of each of n groups by key, each making up for the errors of those before (`herding_stream`);
3. how far the means of other features are from those of all cells, beside a random choice of as many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.settings import as_number
from curate.errors import SelectionError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

N_HELD_OUT = 128
"""Frequencies that the choice does not see, to measure it by."""


def herding(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    bandwidth: float | str = "auto",
    features: int = 512,
) -> Selection:
    """Choose `n` cells so that the means of smooth functions of the embedding are kept.

    Cells are divided by key into `n` groups of equal size, and each gives the one cell that best makes up for
    what the choices so far lack: herding without repetition, in one pass. Where that would be more than half
    of the cells, those that are not to be chosen are found so: what they lack, the others have.

    Parameters
    ----------
    bandwidth
        Scale of the functions, in units of the embedding: the kernel is a mean of Gaussians of 2, 1 and 1/2
        bandwidths. "auto": the median distance between cells.
    features
        Random Fourier features, a multiple of 32. More keep the means better and cost in proportion.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, there is no embedding, or it holds NaN, infinite or only
        equal values.

    Notes
    -----
    Memory beyond the embedding: 16 bytes a cell and some 300 MB at 50 dimensions and 512 features. Work grows
    with N d `features`, whatever `n`: 1 million cells of 50 dimensions take about a second on two cores.

    References
    ----------
    Chen, Welling and Smola, Super-samples from kernel herding, UAI 2010, arXiv 1203.3472. Random features:
    Rahimi and Recht, NIPS 2007.
    """
    from curate.build.strategies.herding_features import FourierFeatures, sample_mean, usual_bandwidth
    from curate.build.strategies.herding_stream import herd_stream
    from curate.build.strategies.points import check_points

    del cells
    check_n(n, keys.size)
    points = check_points(embedding, keys.size, needed_by="herding")
    if n == keys.size:
        return Selection(np.arange(n))
    width = usual_bandwidth(points, keys) if isinstance(bandwidth, str) else bandwidth
    centre = sample_mean(points, keys)
    seen = FourierFeatures.draw(features // 2, width, centre, rng=rng)
    held_out = FourierFeatures.draw(N_HELD_OUT, width, centre, rng=rng)
    if n <= keys.size // 2:
        rows = herd_stream(points, keys, n, seen)
    else:
        left = np.ones(keys.size, dtype=np.bool_)
        left[herd_stream(points, keys, keys.size - n, seen)] = False
        rows = np.flatnonzero(left)
    of_all = held_out.mean(points)
    mmd2 = {
        name: float(f"{((held_out.mean(points, chosen) - of_all) ** 2).sum():.3g}")
        for name, chosen in {"mmd2": rows, "mmd2_of_random": smallest_keys(keys, np.array([n]))}.items()
    }
    return Selection(rows, notes={"bandwidth": width, **mmd2})


def parse_bandwidth(value: object) -> float | str:
    """Read `bandwidth`: "auto" or a number above 0."""
    if value == "auto":
        return "auto"
    if 0 < (number := as_number(value)) < np.inf:
        return number
    raise SelectionError(f"bandwidth={value} is neither auto nor a number above 0")


def parse_features(value: object) -> int:
    """Read `features`: a multiple of 32."""
    if (number := as_number(value)) >= 32 and number % 32 == 0:
        return int(number)
    raise SelectionError(f"features={value} must be a multiple of 32; 512 is usual")


HERDING = Strategy(
    select=herding,
    summary="Means of smooth functions of the embedding are those of all cells (kernel herding).",
    reference="Chen, Welling & Smola, UAI 2010, arXiv 1203.3472",
    parameters=(
        Parameter(
            name="bandwidth",
            default="auto",
            parse=parse_bandwidth,
            metavar="DISTANCE|auto",
            help="Scale of the functions whose means are kept; auto: the median distance between cells.",
        ),
        Parameter(
            name="features",
            default=512,
            parse=parse_features,
            metavar="N",
            help="Random Fourier features, a multiple of 32; more keep means better and cost in proportion.",
        ),
    ),
    needs_embedding=True,
    growth="N d features",
)
