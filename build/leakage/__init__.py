"""The leakage guard: which cells of an evaluation set are cells of a corpus.

::

    evaluation.py   the evaluation set: who its cells are, which genes they have, their counts, packed
    packed.py       cells as detected genes and counts, four bytes a non-zero
    restore.py      counts from log-normalised values
    sources.py      the same from an h5ad file or a Census-layout store
    identities.py   the same cell by name, the same donor
    exact.py        the same counts
    sketches.py     what is alike is met: weighted min-hashes of detected genes
    near.py         nearly the same detected genes: an index over evaluation cells, searched with corpus cells
    nulls.py        how alike two distinct cells are: the score from which a pair counts
    scan.py         a pass over the counts of a corpus, in parts that are kept
    found.py        what was found, of which cells of the corpus
    report.py       the same, counted by split, dataset and donor
    guard.py        the way through: compare a manifest; leave cells out of a build
"""
