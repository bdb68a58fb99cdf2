"""Read and write stores of the Census layout; the one place that touches cellxgene_census and tiledbsoma."""

from curate.census.census import Census
from curate.census.composition import LabelCounts, count_labels
from curate.census.counts import CountsBlock
from curate.census.entries import Entries
from curate.census.info_writer import Dataset
from curate.census.obs_writer import observation_joinids
from curate.census.writer import CensusWriter

__all__ = [
    "Census",
    "CensusWriter",
    "CountsBlock",
    "Dataset",
    "Entries",
    "LabelCounts",
    "count_labels",
    "observation_joinids",
]
