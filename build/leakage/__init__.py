"""The leakage guard: which cells of an evaluation set are cells of a corpus, or of a source of spike-ins.

::

    evaluation.py   the evaluation set: who its cells are, which genes they have, their counts, packed
    packed.py       cells as detected genes and counts, four bytes a non-zero
    restore.py      counts from log-normalised values
    sources.py      the same from an h5ad file, a Census-layout store or a registered source
    compared.py     the cells that it is compared with: those of a corpus, or of a source
    identities.py   the same cell by name, the same donor
    exact.py        the same counts
    sketches.py     what is alike is met: weighted min-hashes of detected genes
    near.py         nearly the same detected genes: an index over evaluation cells, searched with corpus cells
    nulls.py        how alike two distinct cells are: the score from which a pair counts
    scan.py         a pass over the counts of the cells, in parts that are kept
    guard.py        the way through: compare; leave cells out of a build
    doubles.py      cells of a source that its corpus holds, kept beside the source
    pools.py        the cells of a source that may be drawn
    foreseen_pools.py  the same before a build looks for them
    found.py        what was found, counted
    report.py       a manifest compared: counts by split, source, dataset and donor
"""
