"""An h5ad file as a source of cells: checked counts, genes in a gene space, obs in Census columns."""
