"""Spike-ins on real data: a CRISPR screen and two stimulation data sets beside a corpus of blood and lung."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from curate.build.build import build
from curate.build.leakage.guard import overlap_exclusions, read_evaluation
from curate.build.leakage.report import leakage
from curate.build.spike_ins import plan_spike_ins
from curate.census.from_h5ad import create
from curate.corpus.build import build_corpus
from curate.corpus.presence import measured_genes
from curate.errors import SelectionError
from curate.manifests.diff import diff
from curate.manifests.registry import Registry
from curate.recipe import Recipe
from curate.sources.register import Registered, add_source
from curate.workspace import CensusSettings, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

FILES = ("pbmc3k_clustifyr", "pbmc4k_soupx", "lung_dc_rogue", "pbmc_hao_speck", "skin_ctcl_scillus")
SOURCES = {
    "papalexi": ("papalexi_thp1_eccite_sceptre", "non-targeting"),
    "kang": ("kang_pbmc_muscat", "control"),
    "kang_harmony": ("kang_pbmc_harmony", "control"),
}
FRACTIONS, SHARES = (0.1, 1.0), (0.1, 0.5)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Workspace:
    root = tmp_path_factory.mktemp("real-sources") / "workspace"
    workspace = Workspace.create(root, census=CensusSettings(uri="store"))
    create(root / "store", [shared_data / f"{name}.h5ad" for name in FILES])
    genes = (shared_data / "reference" / "sctab_genes.csv.gz").resolve()
    (root / "real.toml").write_text(f'name = "real"\n[genes]\nlist = "{genes}"\nallow_missing = true\n')
    with workspace.open_census() as census:
        build_corpus(Recipe.load(root / "real.toml"), census, workspace.corpora_path / "real")
    return workspace


@pytest.fixture(scope="module")
def corpus(workspace: Workspace) -> Corpus:
    return workspace.corpus()


@pytest.fixture(scope="module")
def sources(corpus: Corpus, shared_data: Path) -> dict[str, Registered]:
    return {
        name: add_source(
            corpus, name, shared_data / f"{file}.h5ad", perturbation_column="perturbation", control=[control]
        )
        for name, (file, control) in SOURCES.items()
    }


@pytest.fixture(scope="module")
def manifests(workspace: Workspace, corpus: Corpus, sources: dict[str, Registered]) -> dict[str, Manifest]:
    built = [
        manifest
        for share in SHARES
        for manifest in build(
            corpus,
            registry=Registry(workspace.manifests_path, workspace=workspace),
            strategy="random",
            fraction=FRACTIONS,
            spike_ins=plan_spike_ins([(sources["papalexi"].source, share)]),
        )
    ]
    return {manifest.name: manifest for manifest in built}


def test_most_genes_of_every_source_are_found_and_few_of_the_corpus_are_measured(
    sources: dict[str, Registered],
) -> None:
    shares = {name: each.source.header.genes for name, each in sources.items()}
    assert all(genes.mapped_fraction > 0.8 for genes in shares.values())
    assert shares["papalexi"].n_genes == 299
    assert shares["papalexi"].measured_fraction < 0.02
    assert shares["kang_harmony"].measured_fraction > 0.4
    assert not any(genes.looks_like for genes in shares.values())
    perturbations = sources["papalexi"].source.header.perturbation
    assert (len(perturbations.counts), perturbations.n_control) == (27, 2292)


def test_every_spiked_manifest_has_the_cells_asked_for_and_verifies(manifests: dict[str, Manifest]) -> None:
    for fraction in FRACTIONS:
        base = manifests[f"random-{fraction:g}-s0"]
        splits = base.document.splits.counts
        for share in SHARES:
            spiked = manifests[f"{base.name}+papalexi={share:g}"]
            assert spiked.document.splits.counts == splits
            assert spiked.document.spike_ins[0].n_cells == int(share * 10) * splits["train"] // 10
            assert spiked.verify().ok
            source = next(shift for shift in diff(base, spiked).composition if shift.column == "source")
            assert source.movers[0].points != 0
    rows = {
        share: set(manifests[f"random-1-s0+papalexi={share:g}"].cells()["soma_joinid"].to_list())
        for share in SHARES
    }
    assert len(rows[0.5]) < len(rows[0.1])


def test_counts_of_spike_ins_are_those_of_the_file(
    manifests: dict[str, Manifest], corpus: Corpus, shared_data: Path
) -> None:
    import anndata

    adata = manifests["random-0.1-s0+papalexi=0.5"].to_anndata(split="train")
    screen = adata[adata.obs["source"] == "papalexi"]
    file = anndata.read_h5ad(shared_data / f"{SOURCES['papalexi'][0]}.h5ad")
    rows = screen.obs["soma_joinid"].to_numpy()
    for symbol in ("PCBP3", "ITGB1BP1", "SERTAD1"):
        (column,) = np.flatnonzero((screen.var["feature_name"] == symbol).to_numpy())
        expected = file.X[rows, file.var["feature_name"].tolist().index(symbol)].toarray().ravel()
        assert np.array_equal(screen.X[:, [column]].toarray().ravel(), expected)
    not_measured = ~adata.var["measured_in_papalexi"].to_numpy()
    assert screen.X[:, not_measured].nnz == 0
    assert screen.obs["perturbation"].notna().all()


def test_presence_is_that_of_the_files(corpus: Corpus) -> None:
    genes = measured_genes(corpus)
    assert genes.presence is not None
    assert set(genes.presence.datasets) == set(FILES)
    assert genes.presence.n_genes["lung_dc_rogue"] < genes.presence.n_genes["pbmc_hao_speck"]
    again = measured_genes(corpus).presence
    assert again is not None
    assert np.array_equal(again.measured, genes.presence.measured)


def test_two_sources_join_balanced(
    workspace: Workspace, corpus: Corpus, sources: dict[str, Registered]
) -> None:
    shares = [(sources["kang"].source, 0.1), (sources["kang_harmony"].source, 0.5)]
    base, both = build(
        corpus,
        registry=Registry(workspace.manifests_path, workspace=workspace),
        strategy="random",
        fraction=0.1,
        spike_ins=plan_spike_ins(shares, mode="add", balance="perturbation"),
    )
    assert both.document.n_cells == base.document.n_cells + sum(
        each.n_cells for each in both.document.spike_ins
    )
    obs = both.obs(["perturbation"]).filter(pl.col("source").cast(pl.String) == "kang_harmony")
    counts = obs["perturbation"].value_counts()["count"]
    assert abs(counts[0] - counts[1]) <= 1


def test_no_cell_of_an_evaluation_set_is_drawn_from_a_source_that_shares_cells_with_it(
    workspace: Workspace, corpus: Corpus, sources: dict[str, Registered], shared_data: Path
) -> None:
    path = shared_data / f"{SOURCES['kang_harmony'][0]}.h5ad"
    registry = Registry(workspace.manifests_path, workspace=workspace)
    with corpus.open_census() as census:
        evaluation = read_evaluation(corpus, path, census=census)
        options = {"strategy": "random", "fraction": 0.1, "name": "held-out"}
        exclusions = overlap_exclusions(corpus, evaluation, census=census)

        def spiked(source: str) -> Manifest:
            plan = plan_spike_ins([(sources[source].source, 0.1)])
            return build(corpus, registry=registry, exclusions=exclusions, spike_ins=plan, **options)[1]  # type: ignore[arg-type]

        manifest = spiked("kang")
        with pytest.raises(SelectionError, match=r"of which 0 may be drawn \(evaluation overlap takes 2,000"):
            spiked("kang_harmony")
    taken = [each for each in manifest.document.exclusions if each.parameters.get("source") == "kang"]
    assert [(each.reason, each.n_cells) for each in taken] == [
        ("corpus overlap", 0),
        ("evaluation overlap", 114),
        ("evaluation overlap", 0),
    ]
    report = leakage(manifest, [path])
    assert report.n_spike_ins["kang"] > 50
    assert report.n_shared_cells == 0
    assert manifest.verify().ok
