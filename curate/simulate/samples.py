"""The datasets of the simulated atlas and their samples: which donor, tissue, disease and assay."""

from __future__ import annotations

from dataclasses import dataclass, replace

from curate.simulate.randomness import generator

SIMULATED = "Simulated by curate; no real cells"

#: label -> ontology term
TISSUES = {
    "blood": "UBERON:0000178",
    "bone marrow": "UBERON:0002371",
    "brain": "UBERON:0000955",
    "colon": "UBERON:0001155",
    "cortex of kidney": "UBERON:0001225",
    "dorsolateral prefrontal cortex": "UBERON:0009834",
    "eye": "UBERON:0000970",
    "ileum": "UBERON:0002116",
    "kidney": "UBERON:0002113",
    "lower lobe of right lung": "UBERON:0002171",
    "lung": "UBERON:0002048",
    "lymph node": "UBERON:0000029",
    "mesenteric lymph node": "UBERON:0002509",
    "primary visual cortex": "UBERON:0002436",
    "renal medulla": "UBERON:0000362",
    "retina": "UBERON:0000966",
    "sigmoid colon": "UBERON:0001159",
    "small intestine": "UBERON:0002108",
    "upper lobe of left lung": "UBERON:0008952",
}
GENERAL_TISSUES = {
    "cortex of kidney": "kidney",
    "dorsolateral prefrontal cortex": "brain",
    "ileum": "small intestine",
    "lower lobe of right lung": "lung",
    "mesenteric lymph node": "lymph node",
    "primary visual cortex": "brain",
    "renal medulla": "kidney",
    "retina": "eye",
    "sigmoid colon": "colon",
    "upper lobe of left lung": "lung",
}
ASSAYS = {
    "10x 3' v2": "EFO:0009899",
    "10x 3' v3": "EFO:0009922",
    "10x 5' v1": "EFO:0011025",
    "10x 5' v2": "EFO:0009900",
    "Smart-seq2": "EFO:0008931",
}
DISEASES = {
    "Alzheimer disease": "MONDO:0004975",
    "COVID-19": "MONDO:0100096",
    "Crohn disease": "MONDO:0005011",
    "chronic kidney disease": "MONDO:0005300",
    "normal": "PATO:0000461",
    "type 2 diabetes mellitus": "MONDO:0005148",
}
SEXES = {"female": "PATO:0000383", "male": "PATO:0000384"}
ETHNICITIES = {
    "African American": "HANCESTRO:0568",
    "European American": "HANCESTRO:0590",
    "unknown": "unknown",
}


@dataclass(frozen=True)
class DatasetPlan:
    """What a dataset holds: every donor gives every tissue; assays and diseases take turns among the donors.

    `weight` is its share of the cells of a type that it could hold, `depth` the median total count of its
    cells in a panel of 1,500 genes, `unmeasured_fraction` the share of the genes that it did not measure.
    """

    title: str
    assays: tuple[str, ...]
    tissues: tuple[str, ...]
    n_donors: int
    donor_prefix: str
    diseases: tuple[str, ...] = ("normal",)
    suspension_type: str = "cell"
    weight: float = 1.0
    depth: float = 900
    unmeasured_fraction: float = 0.0


# Two datasets number their donors alike ("donor 1" …) although these are other people, as real ones do.
DATASETS = (
    DatasetPlan(
        title="Simulated: immune cells of blood and bone marrow",
        assays=("10x 3' v3",),
        tissues=("blood", "bone marrow"),
        n_donors=6,
        donor_prefix="donor ",
        depth=1000,
    ),
    DatasetPlan(
        title="Simulated: immune response to infection",
        assays=("10x 5' v1", "10x 5' v2"),
        tissues=("blood", "mesenteric lymph node"),
        n_donors=6,
        donor_prefix="donor ",
        diseases=("normal", "COVID-19"),
        weight=0.8,
        depth=750,
        unmeasured_fraction=0.04,
    ),
    DatasetPlan(
        title="Simulated: lung",
        assays=("10x 3' v2",),
        tissues=("upper lobe of left lung", "lower lobe of right lung"),
        n_donors=5,
        donor_prefix="L",
        diseases=("normal", "COVID-19"),
        depth=600,
    ),
    DatasetPlan(
        title="Simulated: kidney",
        assays=("10x 3' v3",),
        tissues=("cortex of kidney", "renal medulla"),
        n_donors=5,
        donor_prefix="K",
        diseases=("normal", "type 2 diabetes mellitus || chronic kidney disease", "chronic kidney disease"),
    ),
    DatasetPlan(
        title="Simulated: intestine",
        assays=("10x 3' v2", "10x 3' v3"),
        tissues=("ileum", "sigmoid colon"),
        n_donors=5,
        donor_prefix="G",
        diseases=("normal", "Crohn disease"),
        depth=750,
    ),
    DatasetPlan(
        title="Simulated: cerebral cortex",
        assays=("10x 3' v3",),
        tissues=("dorsolateral prefrontal cortex", "primary visual cortex"),
        n_donors=4,
        donor_prefix="B",
        diseases=("normal", "Alzheimer disease"),
        suspension_type="nucleus",
        depth=1200,
    ),
    DatasetPlan(
        title="Simulated: retina of one donor",
        assays=("10x 3' v3",),
        tissues=("retina",),
        n_donors=1,
        donor_prefix="R",
    ),
    DatasetPlan(
        title="Simulated: several organs, cells in plates",
        assays=("Smart-seq2",),
        tissues=("blood", "upper lobe of left lung", "cortex of kidney"),
        n_donors=3,
        donor_prefix="P",
        weight=0.06,
        depth=15_000,
    ),
)
#: the dataset that repeats cells of others, as a meta-analysis does; none of its cells is primary
META_ANALYSIS = "Simulated: meta-analysis of other datasets"
REPEATED_DATASETS = (0, 2, 3, 4)


@dataclass(frozen=True)
class Sample:
    """One tissue of one donor of one dataset."""

    dataset: int
    donor: int
    donor_id: str
    age_years: int
    sex: str
    ethnicity: str
    tissue: str
    disease: str
    assay: str
    weight: float

    @property
    def tissue_general(self) -> str:
        """The organ that the tissue is part of."""
        return GENERAL_TISSUES.get(self.tissue, self.tissue)


def draw_samples(*, seed: int) -> tuple[Sample, ...]:
    """Draw the samples of every dataset: ages, sexes and how many cells each donor gives vary."""
    samples = []
    donor = 0
    for number, dataset in enumerate(DATASETS):
        for k in range(dataset.n_donors):
            rng = generator(seed, "donor", donor)
            person = Sample(
                dataset=number,
                donor=donor,
                donor_id=f"{dataset.donor_prefix}{k + 1}",
                age_years=int(rng.integers(20, 80)),
                sex=str(rng.choice(list(SEXES))),
                ethnicity=str(rng.choice(list(ETHNICITIES), p=(0.2, 0.4, 0.4))),
                tissue="",
                disease=dataset.diseases[k % len(dataset.diseases)],
                assay=dataset.assays[k % len(dataset.assays)],
                weight=dataset.weight,
            )
            samples += [
                replace(person, tissue=tissue, weight=dataset.weight * rng.lognormal(0, 0.4))
                for tissue in dataset.tissues
            ]
            donor += 1
    return tuple(samples)
