from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellxgene_census
import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import tiledbsoma as soma

from curate.census import from_h5ad
from curate.census.from_h5ad import create
from curate.errors import CurateError, SourceError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

IDS = ["ENSG00000141510", "ENSG00000111640", "ENSG00000090382", "ENSG00000156738", "ENSG00000198851"]
i, j = np.ogrid[:30, :5]
COUNTS: NDArray[np.float32] = np.where((i + j) % 3 == 0, 1 + (7 * i + 3 * j) % 50, 0).astype(np.float32)

# anndata says so of every frame that cellxgene_census gives it.
pytestmark = pytest.mark.filterwarnings("ignore:Transforming to str index")


def read(store: Path, **options: Any) -> ad.AnnData:
    with cellxgene_census.open_soma(uri=str(store)) as census:
        return cellxgene_census.get_anndata(census, "Homo sapiens", **options)


def read_obs(store: Path, **options: Any) -> pd.DataFrame:
    with cellxgene_census.open_soma(uri=str(store)) as census:
        return cellxgene_census.get_obs(census, "homo_sapiens", **options)


def counts_of(adata: ad.AnnData, genes: list[str]) -> NDArray[np.float32]:
    positions = [adata.var["feature_id"].tolist().index(gene) for gene in genes]
    counts: NDArray[np.float32] = adata.X.toarray()[:, positions]
    return counts


@pytest.mark.parametrize("block_cells", [7, 1000])
def test_the_census_package_reads_every_count_where_it_stood(
    write_h5ad: Callable[..., Path], tmp_path: Path, block_cells: int
) -> None:
    report = create(tmp_path / "store", [write_h5ad(x=sp.csr_matrix(COUNTS))], block_cells=block_cells)
    adata = read(tmp_path / "store")
    assert np.array_equal(counts_of(adata, IDS), COUNTS)
    assert adata.obs["raw_sum"].tolist() == COUNTS.sum(axis=1).tolist()
    assert adata.obs["nnz"].tolist() == (COUNTS > 0).sum(axis=1).tolist()
    assert adata.var.set_index("feature_id")["feature_name"]["ENSG00000141510"] == "TP53"
    assert (report.n_cells, report.n_genes) == (30, 5)


def test_files_with_different_genes_share_one_gene_space_and_say_what_they_measured(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    first = write_h5ad("first", x=COUNTS[:, :2], var_names=["GAPDH", "TP53"])
    second = write_h5ad(
        "second", x=sp.csc_matrix(COUNTS[:20, :3]), var_names=[IDS[4], "none of ours", IDS[0]]
    )
    create(tmp_path / "store", [first, second])
    adata = read(tmp_path / "store")
    assert sorted(adata.var["feature_id"]) == sorted([IDS[0], IDS[1], IDS[4]])
    both = counts_of(adata, [IDS[0], IDS[1], IDS[4]])
    assert np.array_equal(both[:30], np.column_stack([COUNTS[:, 1], COUNTS[:, 0], np.zeros(30)]))
    assert np.array_equal(both[30:], np.column_stack([COUNTS[:20, 2], np.zeros(20), COUNTS[:20, 0]]))
    assert adata.obs["dataset_id"].tolist() == ["first"] * 30 + ["second"] * 20
    assert adata.obs["n_measured_vars"].tolist() == [2] * 50
    with cellxgene_census.open_soma(uri=str(tmp_path / "store")) as census:
        presence = cellxgene_census.get_presence_matrix(census, "homo_sapiens").toarray()
    order = [adata.var["feature_id"].tolist().index(gene) for gene in (IDS[0], IDS[1], IDS[4])]
    assert presence[:, order].astype(bool).tolist() == [[True, True, False], [True, False, True]]


def test_genes_that_meet_are_summed_and_unmapped_ones_listed(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    names = ["TP53", "ENSG00000141510", "GAPDH", "none", "nothing"]
    (file,) = create(tmp_path / "store", [write_h5ad(var_names=names, x=COUNTS)]).files
    adata = read(tmp_path / "store")
    assert np.array_equal(
        counts_of(adata, IDS[:2]), np.column_stack([COUNTS[:, 0] + COUNTS[:, 1], COUNTS[:, 2]])
    )
    assert (file.genes.n_mapped, file.genes.n_genes) == (3, 5)
    assert file.genes.unmapped == ("none", "nothing")
    assert file.unmapped_counts_fraction == pytest.approx(COUNTS[:, 3:].sum() / COUNTS.sum())
    assert file.genes.collisions == {"ENSG00000141510": ("TP53", "ENSG00000141510")}
    assert file.genes.how == {"index id": 1, "index symbol": 2, "unmapped": 2}


def test_obs_is_mapped_and_cell_types_resolved(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    obs = {"label": ["B cells"] * 10 + ["H1975"] * 20, "tissue": ["blood"] * 30, "donor_id": [4] * 30}
    report = create(
        tmp_path / "store", [write_h5ad(x=COUNTS, obs=obs)], map={"cell_type": "label", "sex": "=female"}
    )
    read_back = read_obs(tmp_path / "store")
    assert read_back["cell_type"].tolist() == ["B cell"] * 10 + ["H1975"] * 20
    assert read_back["cell_type_ontology_term_id"].tolist() == ["CL:0000236"] * 10 + ["unknown"] * 20
    assert set(read_back["sex"]) == {"female"}
    assert set(read_back["tissue_general"]) == {"blood"}
    assert set(read_back["donor_id"]) == {"4"}
    assert set(read_back["assay"]) == {"unknown"}
    assert read_back["is_primary_data"].all()
    assert report.files[0].cell_types.unresolved == {"H1975": 20}


def test_the_identity_of_a_cell_survives_re_creation_in_another_order(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    one, two = write_h5ad("one", x=COUNTS), write_h5ad("two", x=COUNTS)
    create(tmp_path / "a", [one, two])
    write_h5ad("one", x=COUNTS[::-1], obs_names=[f"cell-{k}" for k in range(29, -1, -1)])
    create(tmp_path / "b", [two, one])
    first = read_obs(tmp_path / "a").set_index(["dataset_id", "observation_joinid"])
    second = read_obs(tmp_path / "b").set_index(["dataset_id", "observation_joinid"])
    assert first.index.is_unique
    assert second.loc[first.index, "raw_sum"].tolist() == first["raw_sum"].tolist()
    assert second.index.tolist() != first.index.tolist()


def test_one_file_can_hold_several_datasets(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    obs = {"study": ["s1", "s2", "s1"] * 10}
    report = create(
        tmp_path / "store", [write_h5ad(x=COUNTS, obs=obs)], map={"dataset_id": "study"}, block_cells=4
    )
    assert report.files[0].dataset_ids == ("s1", "s2")
    adata = read(tmp_path / "store")
    is_second = np.arange(30) % 3 == 1
    assert adata.obs["dataset_id"].tolist() == ["s1"] * 20 + ["s2"] * 10
    assert np.array_equal(counts_of(adata, IDS), np.vstack([COUNTS[~is_second], COUNTS[is_second]]))


def test_title_citation_and_date_stand_in_census_info(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    titled = write_h5ad("titled", x=COUNTS, uns={"title": "A title", "citation": "Doe 2024"})
    sourced = write_h5ad("sourced", x=COUNTS, uns={"source": {"repo": "a/b"}})
    create(tmp_path / "store", [titled, sourced], build_date="2026-01-31")
    with soma.open(str(tmp_path / "store")) as opened:
        store: Any = opened
        info = store["census_info"]
        datasets = info["datasets"].read().concat().to_pandas().set_index("dataset_id")
        summary = info["summary"].read().concat().to_pandas().set_index("label")["value"]
    assert datasets["dataset_title"].to_dict() == {"titled": "A title", "sourced": "sourced"}
    assert datasets["citation"].to_dict() == {"titled": "Doe 2024", "sourced": "repo: a/b"}
    assert datasets["dataset_total_cell_count"].tolist() == [30, 30]
    assert summary["census_build_date"] == "2026-01-31"
    assert summary["total_cell_count"] == "60"


def test_a_table_of_genes_takes_the_place_of_the_shipped_one(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    table = pl.DataFrame(
        {"feature_id": ["my-gene"], "feature_name": ["GENE"], "feature_type": [None], "feature_length": [1]},
        schema_overrides={"feature_type": pl.String},
    )
    path = write_h5ad(x=COUNTS, var_names=["TP53", "GENE", "c", "d", "e"])
    report = create(tmp_path / "store", [path], gene_table=table)
    assert report.files[0].genes.unmapped == ("TP53", "c", "d", "e")
    assert counts_of(read(tmp_path / "store"), ["my-gene"]).ravel().tolist() == COUNTS[:, 1].tolist()


def test_the_report_is_json(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    report = create(tmp_path / "store", [write_h5ad()])
    document = json.loads(json.dumps(report.to_json()))
    assert document["files"][0]["dataset_ids"] == ["sample"]
    assert document["files"][0]["cell_types"]["n_unknown"] == 30
    assert document["organism"] == "homo_sapiens"


def test_a_file_or_dataset_given_twice_is_refused(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    path = write_h5ad()
    with pytest.raises(SourceError, match=r"sample\.h5ad is given twice among 2 files"):
        create(tmp_path / "store", [path, path])
    with pytest.raises(SourceError, match=r"sample\.h5ad is given twice among 2 files"):
        create(tmp_path / "store", [path, path.parent / ".." / path.parent.name / path.name])
    (tmp_path / "sub").mkdir()
    copy = tmp_path / "sub" / path.name
    copy.write_bytes(path.read_bytes())
    with pytest.raises(SourceError, match="are both the dataset 'sample'; rename one file"):
        create(tmp_path / "store", [path, copy])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({"x": np.log1p(COUNTS)}, {}, "no raw integer counts"),
        ({"x": COUNTS, "var_names": list("vwxyz")}, {}, "are among the 78,894 of homo_sapiens"),
        ({"x": COUNTS}, {"map": {"cell_type": "celltype"}}, "no obs column 'celltype'"),
        ({"x": COUNTS}, {"map": {"celltype": "x"}}, "is no Census obs column"),
        ({"x": COUNTS}, {"gene_column": "ids"}, "no var column 'ids'"),
        ({"x": COUNTS}, {"organism": "danio_rerio"}, "no gene table is shipped for 'danio_rerio'"),
        ({"x": COUNTS}, {"build_date": "yesterday"}, "'yesterday' is no build date"),
        ({"x": COUNTS}, {"cell_types": {"a": "CL:x"}}, "1 of 1 given cell types"),
    ],
)
def test_a_second_file_that_cannot_be_used_leaves_no_store(
    write_h5ad: Callable[..., Path],
    tmp_path: Path,
    given: dict[str, object],
    options: dict[str, Any],
    message: str,
) -> None:
    good, bad = write_h5ad("good"), write_h5ad("bad", **given)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CurateError, match=message):
        create(tmp_path / "store", [good, bad], **options)
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_while_writing_leaves_no_store(
    write_h5ad: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_h5ad()
    before = sorted(tmp_path.iterdir())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(from_h5ad, "_add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "store", [path])
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_damaged_behind_its_values_leaves_no_store(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_h5ad(x=sp.csr_matrix(COUNTS))
    with h5py.File(path, "a") as file:
        file["X/indices"][-1] = 99
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SourceError, match="is damaged: index 99 with 5 entries"):
        create(tmp_path / "store", [path])
    assert sorted(tmp_path.iterdir()) == before


def test_a_path_that_exists_is_refused_before_any_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="exists; name another path"):
        create(tmp_path, [Path("absent.h5ad")])
    with pytest.raises(SourceError, match="no h5ad files"):
        create(tmp_path / "store", [])


def test_real_files_make_one_store_with_the_counts_of_the_files(shared_data: Path, tmp_path: Path) -> None:
    import anndata

    names = ["pbmc3k_clustifyr", "kang_pbmc_muscat", "lung_celllines_mixology"]
    report = create(tmp_path / "store", [shared_data / f"{name}.h5ad" for name in names])
    assert [(file.n_cells, file.genes.n_genes) for file in report.files] == [
        (2638, 13714),
        (1556, 1267),
        (1408, 28455),
    ]
    assert all(file.genes.n_mapped > 0.8 * file.genes.n_genes for file in report.files)
    obs = read_obs(tmp_path / "store", column_names=["soma_joinid", "dataset_id", "cell_type"])
    assert obs["dataset_id"].tolist() == np.repeat(names, [2638, 1556, 1408]).tolist()
    first_joinids = dict(zip(names, [0, 2638, 4194], strict=True))
    # LYZ by symbol; ISG15 and EEF1A1 by Ensembl id; each in a cell that has much of it.
    for name, gene, in_file in [
        ("pbmc3k_clustifyr", "ENSG00000090382", "LYZ"),
        ("kang_pbmc_muscat", "ENSG00000187608", "ENSG00000187608"),
        ("lung_celllines_mixology", "ENSG00000156508", "ENSG00000156508"),
    ]:
        original = anndata.read_h5ad(shared_data / f"{name}.h5ad")
        counts = original[:, in_file].X.toarray().ravel()
        cell = int(counts.argmax())
        adata = read(
            tmp_path / "store",
            obs_coords=[first_joinids[name] + cell],
            var_value_filter=f"feature_id == '{gene}'",
        )
        assert adata.X.toarray().tolist() == [[counts[cell]]]
        assert counts[cell] > 10
        assert adata.obs["cell_type"].tolist()[0].casefold() in (
            original.obs["cell_type"].iloc[cell].casefold().removesuffix("s"),
            original.obs["cell_type"].iloc[cell].casefold(),
        )
