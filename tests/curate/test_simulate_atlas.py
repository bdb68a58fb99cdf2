"""The simulated atlas: its store, its composition, its expression."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import cellxgene_census
import numpy as np
import polars as pl
import pytest
from anndata import ImplicitModificationWarning
from cellxgene_ontology_guide.ontology_parser import OntologyParser

from curate.census import Census
from curate.corpus.build import build_corpus
from curate.errors import CurateError, WriteError
from curate.recipe import Recipe
from curate.simulate import expression, simulate_atlas
from curate.simulate.cells import TYPES, Cells, apportion, place_cells, type_sizes
from curate.simulate.expression import (
    INTERFERON,
    MALE,
    NAMED_GENES,
    count_blocks,
    draw_counts,
    draw_expression,
)
from curate.simulate.genes import MITOCHONDRIAL, gene_panel
from curate.simulate.samples import DATASETS, META_ANALYSIS, draw_samples
from curate.simulate.types import CELL_TYPES, CONTINUA, DROPPED_TYPES, LINEAGE_MARKERS

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

N_CELLS, N_GENES = 1_500, 300


def read(path: Path) -> ad.AnnData:
    with cellxgene_census.open_soma(uri=str(path)) as census, warnings.catch_warnings():
        # It numbers its obs, which anndata turns into names.
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        return cellxgene_census.get_anndata(census, "homo_sapiens")


def dense(adata: ad.AnnData) -> NDArray[np.float32]:
    counts: NDArray[np.float32] = adata.X.toarray()
    return counts


@pytest.fixture(scope="module")
def atlas(atlas_census: Path) -> ad.AnnData:
    return read(atlas_census)


@pytest.fixture(scope="module")
def obs(atlas: ad.AnnData) -> pl.DataFrame:
    return pl.DataFrame({name: atlas.obs[name].to_numpy() for name in atlas.obs.columns})


@pytest.fixture(scope="module")
def titles(atlas_census: Path) -> dict[str, str]:
    with cellxgene_census.open_soma(uri=str(atlas_census)) as census:
        datasets = census["census_info"]["datasets"].read().concat().to_pydict()
    return dict(zip(datasets["dataset_id"], datasets["dataset_title"], strict=True))


# The store


def test_census_package_reads_the_cells_and_genes_asked_for(atlas: ad.AnnData) -> None:
    assert atlas.shape == (N_CELLS, N_GENES)
    assert set(MITOCHONDRIAL) < set(atlas.var["feature_name"])
    assert atlas.var["feature_id"].str.fullmatch(r"ENSG\d{11}").all()
    assert set(atlas.var["feature_type"]) == {"protein_coding"}


def test_everything_says_that_it_is_simulated(atlas_census: Path, titles: dict[str, str]) -> None:
    with cellxgene_census.open_soma(uri=str(atlas_census)) as census:
        summary = census["census_info"]["summary"].read().concat().to_pydict()
        citations = census["census_info"]["datasets"].read().concat()["citation"].to_pylist()
    assert "imulated" in dict(zip(summary["label"], summary["value"], strict=True))["label"]
    assert all("imulated" in text for text in [*titles.values(), *citations])


def test_every_census_column_is_filled(obs: pl.DataFrame) -> None:
    assert obs.width == 28
    assert obs.null_count().sum_horizontal().item() == 0
    texts = obs.select(pl.col(pl.String))
    assert texts.width == 21
    assert not texts.select(pl.any_horizontal(pl.all() == "").any()).item()


def test_same_seed_gives_the_same_store_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    simulate_atlas(first, n_cells=500, n_genes=270, seed=3)
    simulate_atlas(again, n_cells=500, n_genes=270, seed=3)
    simulate_atlas(other, n_cells=500, n_genes=270, seed=4)
    one, same, different = read(first), read(again), read(other)
    assert one.obs.equals(same.obs)
    assert np.array_equal(dense(one), dense(same))
    assert not np.array_equal(dense(one), dense(different))
    assert set(one.obs["dataset_id"]).isdisjoint(different.obs["dataset_id"])
    assert one.var["feature_id"].equals(different.var["feature_id"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "first", "other"]


def test_counts_do_not_depend_on_the_size_of_blocks() -> None:
    samples = draw_samples(seed=5)
    cells = place_cells(500, samples, seed=5).of_dataset(1)
    parameters = draw_expression(gene_panel(N_GENES, named=NAMED_GENES), samples, seed=5)
    measured = np.ones(N_GENES, bool)
    whole, *more = count_blocks(cells, parameters, samples, measured=measured)
    pieces = list(count_blocks(cells, parameters, samples, measured=measured, block_cells=7))
    assert not more
    assert [piece.shape[0] for piece in pieces[:-1]] == [7] * (len(pieces) - 1)
    assert len(pieces) > 3
    assert np.array_equal(np.vstack([piece.toarray() for piece in pieces]), whole.toarray())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_cells": 499}, "atlas of 499 cells is too small; simulate at least 500"),
        ({"n_genes": 200}, "panel of 200 genes cannot be simulated; give between 264 and"),
        ({"n_genes": 10**6}, "panel of 1,000,000 genes cannot be simulated"),
        ({"seed": -1}, "seed -1 is negative; give 0 or more"),
    ],
)
def test_sizes_that_do_not_work_are_refused_before_anything_is_written(
    tmp_path: Path, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        simulate_atlas(tmp_path / "atlas", **settings)
    assert not list(tmp_path.iterdir())


def test_store_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "atlas").mkdir()
    with pytest.raises(WriteError, match="exists"):
        simulate_atlas(tmp_path / "atlas", n_cells=500, n_genes=270)


def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(expression, "cell_counts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_atlas(tmp_path / "atlas", n_cells=500, n_genes=270)
    assert not list(tmp_path.iterdir())


# Which cells there are


def test_sizes_of_types_span_three_orders_of_magnitude() -> None:
    n_primary = 20_000 - 1_200
    sizes = type_sizes(n_primary)
    kept = sizes[: len(CELL_TYPES)]
    assert sizes.sum() == n_primary
    assert kept.min() == 6
    assert kept.max() / kept.min() > 700
    assert (kept < 0.002 * 20_000).sum() >= 5
    assert list(kept) == sorted(kept, reverse=True)


@pytest.mark.parametrize("n_cells", [470, 1_410, 5_000, 94_000])
def test_every_type_has_cells_at_every_size(n_cells: int) -> None:
    sizes = type_sizes(n_cells)
    assert sizes.sum() == n_cells
    assert sizes[: len(CELL_TYPES)].min() >= 6
    assert sizes.min() == 3


def test_apportion_gives_the_last_ones_to_the_largest_remainders() -> None:
    # 7 * (0.5, 0.3, 0.2) = 3.5, 2.1, 1.4: the one left over goes to the first.
    assert apportion(7, np.array([5.0, 3.0, 2.0])).tolist() == [4, 2, 1]
    assert apportion(1, np.array([0.0, 1.0, 1.0])).tolist() == [0, 1, 0]


def test_types_of_the_store_have_their_sizes(obs: pl.DataFrame) -> None:
    primary = obs.filter("is_primary_data")["cell_type"].value_counts()
    found = dict(primary.iter_rows())
    expected = type_sizes(N_CELLS - 90)
    assert found == {t.label: n for t, n in zip(TYPES, expected, strict=True)}


def test_terms_are_those_of_their_ontologies(obs: pl.DataFrame) -> None:
    parser = OntologyParser()
    for column in (name for name in obs.columns if name.endswith("_ontology_term_id")):
        name = column.removesuffix("_ontology_term_id")
        for label, terms in obs.select(name, column).unique().iter_rows():
            if label == "unknown":
                assert terms == "unknown"
            else:
                assert " || ".join(parser.get_term_label(term) for term in terms.split(" || ")) == label
                assert not any(parser.is_term_deprecated(term) for term in terms.split(" || "))


def test_one_disease_is_two_diseases(obs: pl.DataFrame) -> None:
    both = obs.filter(pl.col("disease").str.contains("||", literal=True))
    assert both.height > 0
    assert set(both["disease_ontology_term_id"]) == {"MONDO:0005148 || MONDO:0005300"}


def test_types_inherit_programs_from_their_ancestors_in_the_cell_ontology() -> None:
    parser = OntologyParser()
    for cell_type in (*CELL_TYPES, *DROPPED_TYPES[:-1]):
        ancestors = {parser.get_term_label(term) for term in parser.get_term_ancestors(cell_type.term)}
        assert set(cell_type.lineage) <= ancestors


def test_kept_types_have_more_than_seven_ancestors_and_fibroblasts_fewer() -> None:
    parser = OntologyParser()
    n_ancestors = {t.label: len(parser.get_term_ancestors(t.term)) for t in (*CELL_TYPES, DROPPED_TYPES[0])}
    assert n_ancestors.pop("fibroblast") == 4
    assert min(n_ancestors.values()) > 7


def test_rules_on_cell_types_drop_four_types_and_keep_the_others(obs: pl.DataFrame) -> None:
    kept = obs.filter("is_primary_data", pl.col("assay").str.starts_with("10x"))
    types = kept.group_by("cell_type").agg(
        n_cells=pl.len(), n_samples=pl.struct("dataset_id", "donor_id").n_unique()
    )
    of = {row["cell_type"]: (row["n_cells"], row["n_samples"]) for row in types.to_dicts()}
    assert of.pop("retina horizontal cell")[0] == 3
    assert of.pop("amacrine cell")[1] == 1
    assert {"unknown", "fibroblast"} < set(of)
    assert min(n_cells for n_cells, _ in of.values()) >= 5
    assert min(n_samples for _, n_samples in of.values()) >= 3


def test_every_rule_of_the_demo_recipe_drops_cells_and_two_dozen_types_remain(
    atlas_census: Path, tmp_path: Path
) -> None:
    with Census.open(uri=atlas_census) as census:
        corpus = build_corpus(Recipe.load("demo"), census, tmp_path / "corpus")
    dropped = {each.rule: each.n_cells for each in corpus.header.dropped}
    assert list(dropped) == [
        "filter",
        "assays",
        "descendants_of",
        "min_cells",
        "min_tech_samples",
        "min_ancestors",
    ]
    assert min(dropped.values()) > 0
    assert set(corpus.columns(["cell_type"])["cell_type"]) == {t.label for t in CELL_TYPES}


def test_some_cells_are_of_an_assay_that_is_no_10x(obs: pl.DataFrame) -> None:
    assert obs.filter(pl.col("assay") == "Smart-seq2").height > 0
    assert obs["assay"].n_unique() == 5


def test_cells_that_are_not_primary_repeat_the_counts_of_primary_ones(
    atlas: ad.AnnData, obs: pl.DataFrame, titles: dict[str, str]
) -> None:
    counts = dense(atlas)
    is_primary = obs["is_primary_data"].to_numpy()
    first = {counts[row].tobytes(): row for row in np.flatnonzero(is_primary)}
    again = np.flatnonzero(~is_primary)
    assert len(first) == is_primary.sum()
    assert again.size == 90
    same = obs.drop("soma_joinid", "dataset_id", "is_primary_data", "observation_joinid", "n_measured_vars")
    sources = np.array([first[counts[row].tobytes()] for row in again])
    assert np.unique(sources).size == 90
    assert same[again].equals(same[sources])
    assert {titles[each] for each in obs["dataset_id"].gather(again)} == {META_ANALYSIS}


def test_donors_of_two_datasets_have_the_same_names(obs: pl.DataFrame) -> None:
    datasets = obs.filter("is_primary_data").group_by("donor_id").agg(pl.col("dataset_id").n_unique())
    assert datasets.filter(pl.col("dataset_id") == 2)["donor_id"].str.starts_with("donor ").all()
    assert datasets["dataset_id"].max() == 2


def test_one_dataset_did_not_measure_some_genes(
    atlas: ad.AnnData, obs: pl.DataFrame, titles: dict[str, str]
) -> None:
    measured = {titles[row[0]]: row[1] for row in obs.select("dataset_id", "n_measured_vars").unique().rows()}
    infection = DATASETS[1].title
    assert measured.pop(infection) == N_GENES - 12
    assert set(measured.values()) == {N_GENES}
    there = obs["dataset_id"].replace_strict(titles).to_numpy() == infection
    counts = dense(atlas)
    assert ((counts[there].sum(axis=0) == 0) & (counts[~there].sum(axis=0) > 0)).sum() >= 10


# How they express their genes


def test_counts_are_whole_numbers_of_a_sparse_matrix(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    counts = dense(atlas)
    assert np.array_equal(counts, np.floor(counts))
    assert counts.min() == 0
    assert 0.6 < (counts[obs["assay"].to_numpy() != "Smart-seq2"] == 0).mean() < 0.95
    assert np.array_equal(obs["raw_sum"].to_numpy(), counts.sum(axis=1, dtype=np.float64))
    assert (counts.sum(axis=1) > 0).all()


def test_counts_are_negative_binomial() -> None:
    rng = np.random.default_rng(0)
    share, inverse_dispersion = np.array([1.0, 4.0, 20.0]), np.array([0.8, 2.0, 5.0])
    drawn = np.array([draw_counts(share, 50.0, inverse_dispersion, rng=rng) for _ in range(20_000)])
    mean = np.array([2.0, 8.0, 40.0])
    np.testing.assert_allclose(drawn.mean(axis=0), mean, rtol=0.03)
    np.testing.assert_allclose(drawn.var(axis=0), mean + mean**2 / inverse_dispersion, rtol=0.06)


def test_counts_of_one_type_and_donor_vary_more_than_poisson(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    of = (pl.col("cell_type") == "classical monocyte") & (pl.col("donor_id") == "donor 1")
    counts = dense(atlas)[obs.select(of.alias("of"))["of"].to_numpy()]
    shares = counts / counts.sum(axis=1, keepdims=True) * np.median(counts.sum(axis=1))
    is_expressed = counts.mean(axis=0) > 1
    assert is_expressed.sum() > 30
    excess = shares.var(axis=0, ddof=1)[is_expressed] / shares.mean(axis=0)[is_expressed]
    assert np.median(excess) > 1.3


def profiles(atlas: ad.AnnData, obs: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return the mean log-normalised profile of the types with at least 40 cells."""
    counts = dense(atlas).astype(np.float64)
    levels = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e3)
    labels = obs["cell_type"].to_numpy()
    names, sizes = np.unique(labels, return_counts=True)
    return {str(name): levels[labels == name].mean(axis=0) for name in names[sizes >= 40]}


def test_siblings_are_nearer_than_cousins_in_the_data(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    of = profiles(atlas, obs)

    def distance(one: str, other: str) -> float:
        return float(np.linalg.norm(of[one] - of[other]))

    naive, memory = CONTINUA[0]
    b_cell, monocyte, neuron = "naive B cell", "classical monocyte", "glutamatergic neuron"
    assert distance(naive, memory) < distance(naive, b_cell) < distance(naive, neuron)
    assert distance(naive, b_cell) < distance(naive, monocyte)


def test_types_are_the_nearer_the_more_ancestors_they_share() -> None:
    samples = draw_samples(seed=0)
    levels = draw_expression(gene_panel(N_GENES, named=NAMED_GENES), samples, seed=0).types
    distances: dict[int, list[float]] = {}
    for i, one in enumerate(CELL_TYPES):
        for j, other in enumerate(CELL_TYPES[:i]):
            n_own = len(set(one.nodes) ^ set(other.nodes))
            distances.setdefault(n_own, []).append(float(np.linalg.norm(levels[i] - levels[j])))
    means = [float(np.mean(distances[n])) for n in sorted(distances)]
    assert len(means) >= 5
    assert means == sorted(means)


def test_markers_are_high_where_they_belong(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    of = profiles(atlas, obs)
    symbols = atlas.var["feature_name"].tolist()
    for cell_type in CELL_TYPES:
        if cell_type.label not in of:
            continue
        for node, markers in LINEAGE_MARKERS.items() | {(cell_type.label, cell_type.markers)}:
            level = np.mean([of[cell_type.label][symbols.index(marker)] for marker in markers.split()])
            assert (level > 0.5) == (node in cell_type.nodes)


def test_some_cells_lie_between_siblings() -> None:
    samples = draw_samples(seed=0)
    genes = gene_panel(N_GENES, named=NAMED_GENES)
    parameters = draw_expression(genes, samples, seed=0)
    one, other = ([t.label for t in TYPES].index(label) for label in CONTINUA[2])
    n = 400
    zeros = np.zeros(n, np.int64)
    cells = Cells(number=np.arange(n), type=zeros + one, sample=zeros, dataset=zeros)
    (counts,) = count_blocks(cells, parameters, samples, measured=np.ones(N_GENES, bool))
    symbols = genes["feature_name"].to_list()
    foreign = counts.toarray()[:, [symbols.index(m) for m in TYPES[other].markers.split()]].sum(axis=1)
    assert np.median(foreign) == 0
    assert 0.02 < (foreign >= 3).mean() < 0.15


def test_genes_of_the_y_chromosome_are_silent_in_women(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    of_y = dense(atlas)[:, atlas.var["feature_name"].isin(MALE).to_numpy()].sum(axis=1)
    is_male = obs["sex"].to_numpy() == "male"
    assert of_y[~is_male].sum() == 0
    assert (of_y[is_male] > 0).mean() > 0.9


def test_infection_raises_interferon_genes(atlas: ad.AnnData, obs: pl.DataFrame) -> None:
    counts = dense(atlas)
    share = counts[:, atlas.var["feature_name"].isin(INTERFERON).to_numpy()].sum(axis=1) / counts.sum(axis=1)
    is_ill = obs["disease"].to_numpy() == "COVID-19"
    assert share[is_ill].mean() > 4 * share[~is_ill].mean()
