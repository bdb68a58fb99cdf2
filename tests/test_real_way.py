"""The whole way on real data: seven public data sets become a store, a corpus, an embedding and manifests."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from curate.build.build import build
from curate.build.embeddings.embed import embed
from curate.build.embeddings.embedding import Embedding
from curate.build.ladder import build_ladder
from curate.build.strategies import STRATEGIES
from curate.census.from_h5ad import create
from curate.corpus import Corpus
from curate.corpus.build import build_corpus
from curate.h5ad.obs import read_cell_types
from curate.manifests.diff import diff
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.recipe import Recipe
from curate.workspace import CensusSettings, Workspace

WITHOUT_TASK = [name for name, strategy in STRATEGIES.items() if not strategy.needs_task]
FILES = (
    "pbmc3k_clustifyr",
    "pbmc4k_soupx",
    "lung_dc_rogue",
    "lung_celllines_mixology",
    "skin_ctcl_scillus",
    "kang_pbmc_muscat",
    "pbmc_hao_speck",
)
CELL_TYPES = """cell_type,cell_type_ontology_term_id
Naive CD4 T,CL:0000895
Memory CD4 T,CL:0000897
CD14+ Mono,CL:0002057
CD14+ Monocytes,CL:0002057
FCGR3A+ Mono,CL:0002396
FCGR3A+ Monocytes,CL:0002396
B,CL:0000236
NK,CL:0000623
DC,CL:0000451
CD8 T,CL:0000625
CD8 T cells,CL:0000625
T_CD8,CL:0000625
CD4 T cells,CL:0000624
T_CD4,CL:0000624
MNP,CL:0000113
tDC1,CL:0002394
tDC2,CL:0002399
tDC3,CL:0000990
tpDC,CL:0000784
"""
RECIPE = """
name = "real"
[cells]
filter = "is_primary_data == True"
[cell_types]
descendants_of = "cell"
min_cells = 10
[genes]
list = "{genes}"
allow_missing = true
"""
FRACTIONS, SEEDS = (0.01, 0.1, 0.5), (0, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Workspace:
    root = tmp_path_factory.mktemp("real") / "workspace"
    workspace = Workspace.create(root, census=CensusSettings(uri="store"))
    (root / "cell_types.csv").write_text(CELL_TYPES)
    create(
        root / "store",
        [shared_data / f"{name}.h5ad" for name in FILES],
        cell_types=read_cell_types(root / "cell_types.csv"),
    )
    genes = (shared_data / "reference" / "sctab_genes.csv.gz").resolve()
    (root / "real.toml").write_text(RECIPE.format(genes=genes))
    return workspace


@pytest.fixture(scope="module")
def corpus(workspace: Workspace) -> Corpus:
    return _build(workspace, "real")


@pytest.fixture(scope="module")
def embedding(corpus: Corpus) -> Embedding:
    return embed(corpus)


@pytest.fixture(scope="module")
def manifests(workspace: Workspace, corpus: Corpus, embedding: Embedding) -> dict[str, Manifest]:
    built = [
        manifest
        for strategy in WITHOUT_TASK
        for manifest in build(
            corpus,
            registry=Registry(workspace.manifests_path),
            strategy=strategy,
            fraction=FRACTIONS,
            seed=SEEDS,
            embedding=embedding if STRATEGIES[strategy].needs_embedding else None,
        )
    ]
    return {manifest.name: manifest for manifest in built}


def _build(workspace: Workspace, name: str) -> Corpus:
    with workspace.open_census() as census:
        return build_corpus(Recipe.load(workspace.root / "real.toml"), census, workspace.corpora_path / name)


def test_the_corpus_holds_the_cells_of_known_type(corpus: Corpus) -> None:
    by_dataset = dict(corpus.value_counts("dataset_id").iter_rows())
    assert by_dataset == {
        "pbmc3k_clustifyr": 2638,
        "pbmc4k_soupx": 2170 - 20,
        "kang_pbmc_muscat": 1556,
        "lung_dc_rogue": 913,
    }
    (unknown,) = [each for each in corpus.header.dropped if each.rule == "descendants_of"]
    assert unknown.values["unknown"] == 1000 + 1800 + 20
    assert unknown.n_cells == 1000 + 1800 + 20 + 1408


def test_every_strategy_size_and_seed_is_a_manifest_that_verifies(
    corpus: Corpus, manifests: dict[str, Manifest]
) -> None:
    assert len(manifests) == len(WITHOUT_TASK) * len(FRACTIONS) * len(SEEDS)
    for manifest in manifests.values():
        fraction = manifest.document.selection.fraction
        assert fraction is not None
        assert manifest.document.n_cells == int(fraction * corpus.n_cells)
        assert manifest.verify().ok


def test_the_sketch_enriches_dendritic_cells_of_the_lung(manifests: dict[str, Manifest]) -> None:
    found = diff(manifests["random-0.1-s0"], manifests["sketch-0.1-s0"], columns=["cell_type"])
    enriched = [mover.label for mover in found.composition[0].movers if mover.points > 0]
    assert set(enriched[:3]) == {
        "plasmacytoid dendritic cell",
        "CD1c-positive myeloid dendritic cell",
        "conventional dendritic cell",
    }


def test_reweight_levels_the_types(manifests: dict[str, Manifest]) -> None:
    counts = manifests["reweight-0.01-s0"].document.composition["cell_type"].values()
    assert max(counts) - min(counts) <= 1


def test_a_nested_ladder_of_three_strategies_and_five_seeds_nests(
    corpus: Corpus, embedding: Embedding, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    ladder = build_ladder(
        corpus,
        registry=registry,
        strategies=["random", "sketch", "reweight"],
        fractions=(0.01, 0.03, 0.1, 0.3, 1),
        seeds=SEEDS,
        nested=True,
        embedding=embedding,
        split_by="donor",
    )
    assert len(ladder.steps) == 3 * 5 * 5
    lines = defaultdict(list)
    for step in ladder.document.steps:
        cells = registry.open(step.manifest, step.version).cells().select("soma_joinid", "split")
        lines[step.strategy, step.seed].append(cells)
    for steps in lines.values():
        for smaller, larger in pairwise(steps):
            # Each cell is there again, in the same split.
            assert smaller.join(larger, on=["soma_joinid", "split"], how="anti").is_empty()


def test_a_second_run_gives_the_same_ids(
    workspace: Workspace, corpus: Corpus, manifests: dict[str, Manifest], tmp_path: Path
) -> None:
    again = _build(workspace, "again")
    assert again.id == corpus.id
    anew = embed(again)
    for strategy in WITHOUT_TASK:
        built = build(
            again,
            registry=Registry(tmp_path),
            strategy=strategy,
            fraction=0.1,
            embedding=anew if STRATEGIES[strategy].needs_embedding else None,
        )
        assert built[0].id == manifests[f"{strategy}-0.1-s0"].id
