"""Rules on quality in a build: reasons with counts in the manifest, one error where nothing is left."""

from pathlib import Path

import polars as pl
import pytest

from curate.build.build import build
from curate.build.quality import quality_exclusions
from curate.corpus import Corpus
from curate.errors import SelectionError
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.quality import QualityRules
from curate.workspace import Workspace


@pytest.fixture(scope="module")
def atlas(atlas_workspace: Path) -> Corpus:
    return Workspace.find(atlas_workspace).corpus()


def build_with(corpus: Corpus, folder: Path, rules: QualityRules) -> Manifest:
    exclusions = quality_exclusions(corpus, rules)
    registry = Registry(folder, workspace=Workspace.around(corpus.path))
    return build(corpus, registry=registry, strategy="random", fraction=1, exclusions=exclusions)[0]


def test_every_rule_is_a_reason_with_its_count(atlas: Corpus, tmp_path: Path) -> None:
    obs = atlas.columns(["raw_sum", "nnz", "dataset_id", "donor_id"])
    low, few = (int(obs[name].quantile(0.3) or 0) for name in ("raw_sum", "nnz"))
    rules = QualityRules(min_counts=low, min_genes=few, min_cells_per_donor=20)
    manifest = build_with(atlas, tmp_path, rules)
    shallow = obs.filter(pl.col("raw_sum") < low).height
    sparse = obs.filter(pl.col("raw_sum") >= low, pl.col("nnz") < few).height
    left = obs.filter(pl.col("raw_sum") >= low, pl.col("nnz") >= few)
    small = left.filter(pl.len().over("dataset_id", "donor_id") < 20).height
    assert [(each.reason, each.n_cells, each.parameters) for each in manifest.document.exclusions] == [
        ("min_counts", shallow, {"threshold": low, "column": "raw_sum"}),
        ("min_genes", sparse, {"threshold": few, "column": "nnz"}),
        ("min_cells_per_donor", small, {"threshold": 20}),
    ]
    assert min(shallow, sparse, small) > 0
    assert manifest.document.n_cells == atlas.n_cells - shallow - sparse - small
    donors = manifest.obs(["dataset_id", "donor_id"]).group_by("dataset_id", "donor_id").len()
    assert donors["len"].min() >= 20  # type: ignore[operator]
    assert manifest.verify().ok


def test_no_rule_is_no_exclusion(atlas: Corpus, tmp_path: Path) -> None:
    assert quality_exclusions(atlas, QualityRules()) == ()
    assert build_with(atlas, tmp_path, QualityRules()).document.exclusions == ()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            QualityRules(max_mito=0.2),
            "max_mito reads the column 'mito_share', which corpus demo has not.*--mito-c",
        ),
        (QualityRules(max_doublet_score=0.2), "the column 'doublet_score'.*name it with --doublet-column"),
        (QualityRules(max_mito=0.2, mito_column="nnz"), "no cell|none of the"),
        (
            QualityRules(min_counts=10**6, min_genes=10**6),
            r"none of the [\d,]+ cells .* is left: min_counts 1000000 raw_sum takes [\d,]+; loosen one",
        ),
    ],
)
def test_what_leaves_nothing_or_reads_no_column_is_one_line(
    atlas: Corpus, tmp_path: Path, rules: QualityRules, message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        build_with(atlas, tmp_path, rules)
