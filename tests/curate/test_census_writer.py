from __future__ import annotations

from typing import TYPE_CHECKING

import cellxgene_census
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@pytest.mark.filterwarnings("ignore:Transforming to str index")
def test_the_real_package_reads_the_count_of_a_known_gene_in_a_known_cell(
    coordinate_census: Path, coordinate_counts: NDArray[np.float32]
) -> None:
    with cellxgene_census.open_soma(uri=str(coordinate_census)) as census:
        adata = cellxgene_census.get_anndata(
            census, "Homo sapiens", obs_coords=[301], var_value_filter="feature_name == 'GENE2'"
        )
    # 1 + (7 * 301 + 3 * 2) % 50
    assert adata.X.toarray().tolist() == [[14.0]]
    assert adata.obs["observation_joinid"].tolist() == ["cell-0301"]
    assert coordinate_counts[301, 2] == 14
