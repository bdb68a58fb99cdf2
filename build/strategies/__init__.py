"""Ways to choose cells; STRATEGIES names them all. Each stands at the end of its own module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.build.strategies.blocks import BLOCKS
from curate.build.strategies.combine import COMBINE
from curate.build.strategies.coreset import CORESET
from curate.build.strategies.density import DENSITY
from curate.build.strategies.depth import DEPTH
from curate.build.strategies.facility import FACILITY
from curate.build.strategies.herding import HERDING
from curate.build.strategies.leverage import LEVERAGE
from curate.build.strategies.ontology import ONTOLOGY
from curate.build.strategies.random import RANDOM
from curate.build.strategies.reweight import REWEIGHT
from curate.build.strategies.sketch import SKETCH
from curate.build.strategies.stratified import STRATIFIED
from curate.build.strategies.target import TARGET

if TYPE_CHECKING:
    from curate.build.selection import Strategy

STRATEGIES: dict[str, Strategy] = {
    "random": RANDOM,
    "stratified": STRATIFIED,
    "reweight": REWEIGHT,
    "sketch": SKETCH,
    "depth": DEPTH,
    "blocks": BLOCKS,
    "leverage": LEVERAGE,
    "density": DENSITY,
    "target": TARGET,
    "ontology": ONTOLOGY,
    "facility": FACILITY,
    "coreset": CORESET,
    "herding": HERDING,
    "combine": COMBINE,
}
