"""The cell types of the simulated atlas: real terms of the Cell Ontology, lineages, markers and homes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

IMMUNE = {
    "blood": 1.0,
    "bone marrow": 0.6,
    "lymph node": 0.8,
    "lung": 0.3,
    "kidney": 0.15,
    "small intestine": 0.25,
    "colon": 0.25,
}
BARRIERS = {"lung": 1.0, "small intestine": 0.8, "colon": 0.6}
VESSELS = {"lung": 1.0, "kidney": 0.7, "colon": 0.5, "small intestine": 0.5}
KIDNEY, GUT, BRAIN, EYE = (
    {"kidney": 1.0},
    {"small intestine": 1.0, "colon": 0.4},
    {"brain": 1.0},
    {"eye": 1.0},
)

LYMPHOCYTE = ("leukocyte", "lymphocyte")
T_CELL = (*LYMPHOCYTE, "T cell")
CD4, CD8 = (*T_CELL, "CD4-positive, alpha-beta T cell"), (*T_CELL, "CD8-positive, alpha-beta T cell")
B_LINEAGE = (*LYMPHOCYTE, "lymphocyte of B lineage")
PHAGOCYTE = ("leukocyte", "mononuclear phagocyte")
MONOCYTE, MACROPHAGE = (*PHAGOCYTE, "monocyte"), (*PHAGOCYTE, "macrophage")
DENDRITIC = (*PHAGOCYTE, "dendritic cell")
MYELOID = ("leukocyte", "myeloid leukocyte")
NEPHRON = ("epithelial cell", "kidney epithelial cell")
GUT_LINING = ("epithelial cell", "intestinal epithelial cell")


@dataclass(frozen=True)
class CellType:
    """A cell type: its CL label and term, ancestors whose programs it inherits (root first), markers, homes.

    `markers` are gene symbols, `homes` maps tissue_general to how readily the type is found there.
    """

    label: str
    term: str
    lineage: tuple[str, ...]
    markers: str
    homes: Mapping[str, float]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The lineage and the type itself: one expression program each."""
        return (*self.lineage, self.label)


#: the types that the rules keep, from the most to the least abundant
CELL_TYPES = (
    CellType(
        "naive thymus-derived CD4-positive, alpha-beta T cell", "CL:0000895", CD4, "CCR7 TSHZ2 FHIT", IMMUNE
    ),
    CellType("classical monocyte", "CL:0000860", MONOCYTE, "CD14 S100A12 VCAN", IMMUNE),
    CellType("CD8-positive, alpha-beta cytotoxic T cell", "CL:0000794", CD8, "GZMB NKG7 PRF1", IMMUNE),
    CellType("glutamatergic neuron", "CL:0000679", ("neural cell",), "SLC17A7 SATB2 CAMK2A", BRAIN),
    CellType("epithelial cell of proximal tubule", "CL:0002306", NEPHRON, "SLC34A1 LRP2 CUBN", KIDNEY),
    CellType(
        "effector memory CD4-positive, alpha-beta T cell", "CL:0000905", CD4, "IL7R ANXA1 S100A4", IMMUNE
    ),
    CellType("naive B cell", "CL:0000788", B_LINEAGE, "TCL1A FCER2 IL4R", IMMUNE),
    CellType("enterocyte", "CL:0000584", GUT_LINING, "FABP2 APOA1 ALPI", GUT),
    CellType(
        "naive thymus-derived CD8-positive, alpha-beta T cell", "CL:0000900", CD8, "LRRN3 NELL2 LEF1", IMMUNE
    ),
    CellType("alveolar macrophage", "CL:0000583", MACROPHAGE, "MARCO FABP4 PPARG", {"lung": 1.0}),
    CellType("memory B cell", "CL:0000787", B_LINEAGE, "CD27 TNFRSF13B AIM2", IMMUNE),
    CellType("regulatory T cell", "CL:0000815", T_CELL, "FOXP3 IL2RA CTLA4", IMMUNE),
    CellType("non-classical monocyte", "CL:0000875", MONOCYTE, "FCGR3A CDKN1C MS4A7", IMMUNE),
    CellType("astrocyte of the cerebral cortex", "CL:0002605", ("neural cell",), "GFAP AQP4 ALDH1L1", BRAIN),
    CellType(
        "vascular associated smooth muscle cell",
        "CL:0000359",
        ("contractile cell",),
        "MYH11 CNN1 DES",
        VESSELS,
    ),
    CellType("plasma cell", "CL:0000786", B_LINEAGE, "JCHAIN SDC1 XBP1", IMMUNE),
    CellType("kidney collecting duct principal cell", "CL:1001431", NEPHRON, "AQP2 SCNN1G AVPR2", KIDNEY),
    CellType("conventional dendritic cell", "CL:0000990", DENDRITIC, "CD1C FCER1A CLEC10A", IMMUNE),
    CellType("neutrophil", "CL:0000775", MYELOID, "FCGR3B CSF3R CXCR2", IMMUNE),
    CellType("microglial cell", "CL:0000129", MACROPHAGE, "P2RY12 TMEM119 CX3CR1", BRAIN),
    CellType("plasmacytoid dendritic cell", "CL:0000784", DENDRITIC, "LILRA4 CLEC4C IRF7", IMMUNE),
    CellType("mast cell", "CL:0000097", MYELOID, "TPSAB1 KIT CPA3", BARRIERS),
    CellType(
        "renal interstitial pericyte", "CL:1001318", ("contractile cell",), "PDGFRB RGS5 NOTCH3", KIDNEY
    ),
    CellType("paneth cell", "CL:0000510", GUT_LINING, "DEFA5 DEFA6 REG3A", GUT),
)

#: the types that the rules drop, one a rule: too few ancestors, one donor, too few cells, no term of CL
FEW_ANCESTORS = CellType("fibroblast", "CL:0000057", ("stromal cell",), "COL1A1 DCN LUM", VESSELS)
ONE_DONOR = CellType("amacrine cell", "CL:0000561", ("neural cell",), "TFAP2A GAD1 SLC6A9", EYE)
FEW_CELLS = CellType("retina horizontal cell", "CL:0000745", ("neural cell",), "LHX1 ONECUT1 CALB1", EYE)
UNKNOWN = CellType("unknown", "unknown", (), "", {**IMMUNE, **BRAIN})
DROPPED_TYPES = (FEW_ANCESTORS, ONE_DONOR, FEW_CELLS, UNKNOWN)

#: markers of the ancestors
LINEAGE_MARKERS = {
    "leukocyte": "PTPRC CD52 CORO1A",
    "lymphocyte": "LTB CD69 ETS1",
    "T cell": "CD3D CD3E CD3G CD2",
    "CD4-positive, alpha-beta T cell": "CD4 CD40LG ICOS",
    "CD8-positive, alpha-beta T cell": "CD8A CD8B CRTAM",
    "lymphocyte of B lineage": "CD79A CD79B POU2AF1",
    "mononuclear phagocyte": "CST3 AIF1 TYROBP",
    "monocyte": "LYZ S100A9 FCN1",
    "macrophage": "C1QA C1QB CD68",
    "dendritic cell": "FLT3 HLA-DQA1 HLA-DPB1",
    "myeloid leukocyte": "SRGN FCER1G ALOX5",
    "epithelial cell": "EPCAM KRT8 KRT18",
    "kidney epithelial cell": "PAX8 CDH16 KCNJ16",
    "intestinal epithelial cell": "VIL1 LGALS4 CDX1",
    "contractile cell": "ACTA2 TAGLN MYL9",
    "neural cell": "NCAM1 NRXN1 MAP2",
    "stromal cell": "PDGFRA VIM SPARC",
}

#: pairs of siblings between which some cells lie
CONTINUA = (
    (
        "naive thymus-derived CD4-positive, alpha-beta T cell",
        "effector memory CD4-positive, alpha-beta T cell",
    ),
    ("naive thymus-derived CD8-positive, alpha-beta T cell", "CD8-positive, alpha-beta cytotoxic T cell"),
    ("classical monocyte", "non-classical monocyte"),
    ("naive B cell", "memory B cell"),
)
