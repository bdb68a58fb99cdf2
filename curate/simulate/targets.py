"""The targets of the simulated screen: which pathway each belongs to, how strongly it acts in which line."""

from __future__ import annotations

from dataclasses import dataclass

CELL_LINES = ("K562", "RPE1")
CONTROL = "non-targeting"


@dataclass(frozen=True)
class Target:
    """A gene that the screen knocks down.

    `strength` scales its downstream program in each of CELL_LINES; 0 in a line means that nothing happens
    there, not even to the target itself, as with guides that do not work.
    """

    symbol: str
    pathway: str
    strength: tuple[float, float]


TARGETS = (
    Target("GATA1", "erythroid", (1.5, 0.0)),
    Target("KLF1", "erythroid", (1.0, 0.0)),
    Target("TAL1", "erythroid", (0.7, 0.0)),
    Target("LMO2", "erythroid", (0.4, 0.0)),
    Target("HSPA5", "unfolded protein response", (1.5, 1.5)),
    Target("HSPA9", "unfolded protein response", (1.0, 1.2)),
    Target("DNAJC3", "unfolded protein response", (0.3, 0.3)),
    Target("XBP1", "unfolded protein response", (0.3, 0.8)),
    Target("RPS19", "ribosome", (1.2, 1.0)),
    Target("RPL5", "ribosome", (1.0, 1.4)),
    Target("RPL11", "ribosome", (0.7, 1.0)),
    Target("NOP56", "ribosome", (0.4, 0.4)),
    Target("POLR2B", "transcription", (1.2, 1.2)),
    Target("MED12", "transcription", (0.8, 0.5)),
    Target("BRD4", "transcription", (0.5, 0.8)),
    Target("CDK1", "cell cycle", (1.2, 1.2)),
    Target("AURKB", "cell cycle", (0.8, 0.8)),
    Target("CHEK1", "cell cycle", (0.5, 0.3)),
    Target("TP53", "DNA damage", (0.0, 1.0)),
    Target("MDM2", "DNA damage", (0.0, -1.5)),
    Target("CD81", "none", (0.0, 0.0)),
    Target("LAMP1", "none", (0.0, 0.0)),
    Target("B2M", "none", (0.0, 0.0)),
    Target("TFRC", "none", (0.0, 0.0)),
)
