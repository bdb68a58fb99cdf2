"""Ways to choose cells; STRATEGIES names them all."""

from __future__ import annotations

from curate.build.selection import Parameter, Strategy
from curate.build.strategies.block_costs import block_costs
from curate.build.strategies.blocks import blocks, parse_tile_cells, parse_tiles
from curate.build.strategies.depth import depth, parse_depth_column
from curate.build.strategies.random import random
from curate.build.strategies.reweight import reweight
from curate.build.strategies.sketch import (
    parse_alpha,
    parse_engine,
    parse_k,
    parse_max_iter,
    parse_replace,
    prepare,
    sketch,
)
from curate.build.strategies.strata import parse_columns
from curate.build.strategies.stratified import stratified
from curate.build.strategies.tiles import DATASET, JOINID, TILE_CELLS
from curate.quality import COUNTS

_BY = Parameter(
    name="by",
    default=("cell_type",),
    parse=parse_columns,
    metavar="COLUMN[,COLUMN...]",
    help="Obs columns to group cells by; several make combinations.",
    names_columns=True,
)
_SKETCHING = "Hie et al., Cell Systems 2019, doi 10.1016/j.cels.2019.05.003"
_STUDY = "DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y"

STRATEGIES: dict[str, Strategy] = {
    "random": Strategy(
        select=random,
        summary="Every cell is as likely as every other.",
        reference="uniform sampling without replacement",
        nested=True,
    ),
    "stratified": Strategy(
        select=stratified,
        summary="Every group of cells keeps its share.",
        reference="proportional allocation, largest remainders",
        parameters=(_BY,),
    ),
    "reweight": Strategy(
        select=reweight,
        summary="As many cells of every group as there can be.",
        reference=f"water-filling, as in {_STUDY}",
        parameters=(_BY,),
        nested=True,
    ),
    "sketch": Strategy(
        select=sketch,
        summary="Cells spread evenly over the space that the embedding occupies.",
        reference=_SKETCHING,
        parameters=(
            Parameter(
                name="k",
                default="auto",
                parse=parse_k,
                metavar="N|FRACTION|auto",
                help="Covering boxes: a number, a fraction of the cells, or auto (1 %, at least the root).",
            ),
            Parameter(
                name="alpha",
                default=0.1,
                parse=parse_alpha,
                metavar="FRACTION",
                help="Accept a covering with (1 ± alpha) k boxes.",
            ),
            Parameter(
                name="max_iter",
                default=200,
                parse=parse_max_iter,
                metavar="N",
                help="Coverings to try at most.",
            ),
            Parameter(
                name="replace",
                default=False,
                parse=parse_replace,
                metavar="yes|no",
                help="Draw with replacement; a cell's weight is then how often it was drawn.",
            ),
            Parameter(
                name="engine",
                default="curate",
                parse=parse_engine,
                metavar="curate|geosketch",
                help="Our own, or geosketch itself, to compare with.",
            ),
        ),
        needs_embedding=True,
        nested=True,
        prepare=prepare,
    ),
    "depth": Strategy(
        select=depth,
        summary="The most deeply sequenced cells of every group, which keeps its share.",
        reference="depth as the axis of quality, arXiv 2503.02726; Sainte-Laguë allocation",
        parameters=(
            _BY,
            Parameter(
                name="depth_column",
                default=COUNTS,
                parse=parse_depth_column,
                metavar="COLUMN",
                help="What depth is: raw_sum, nnz, or another column of numbers.",
                names_columns=True,
            ),
        ),
        nested=True,
        is_drawn=False,
    ),
    "blocks": Strategy(
        select=blocks,
        summary="Cells from few tiles of the store, cheap to read; every dataset contributes.",
        reference="two-stage sampling, Cochran, Sampling Techniques (Wiley 1977)",
        parameters=(
            Parameter(
                name="tiles",
                default="auto",
                parse=parse_tiles,
                metavar="N|FRACTION|auto",
                help="Tiles to read at most: a number, a fraction, or auto (5 x the fraction of cells).",
            ),
            Parameter(
                name="tile_cells",
                default=TILE_CELLS,
                parse=parse_tile_cells,
                metavar="N",
                help="Joinids of a tile of the store; 2,048 in a Census.",
            ),
        ),
        costs=block_costs,
        reads=(JOINID, DATASET),
    ),
}
