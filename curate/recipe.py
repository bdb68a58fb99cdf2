"""Recipes: TOML documents that say which cells and genes of a Census make a corpus."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from curate.documents import Document, canonical_digest, fault_in_words
from curate.errors import FilterError, RecipeError
from curate.genes import GeneSpace
from curate.quality import QualityRules
from curate.where import Where

SHIPPED_PATH = Path(__file__).parent / "recipes"
SHARED_VARIABLE = "CURATE_SHARED"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Positive = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CensusSource(Document):
    """``[census]``: which Census; where it is not said, the workspace's."""

    release: str | None = None
    uri: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CensusSource:
        if self.release and self.uri:
            raise ValueError("name release or uri, not both")
        return self


class CellRules(Document):
    """``[cells]``: which cells; `columns` adds obs columns to those that every corpus keeps.

    Attributes
    ----------
    deduplicate
        "content" keeps one of the cells that hold the same counts.
    rescue_without_primary
        Keep one copy of cells that the filter drops for not being primary, where no primary cell of the
        Census holds the same counts.
    """

    filter: str | None = None
    assays: tuple[str, ...] | None = Field(default=None, min_length=1)
    columns: tuple[str, ...] = ()
    deduplicate: Literal["content"] | None = None
    rescue_without_primary: bool = False

    @field_validator("filter")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        try:
            _ = Where.parse(text) if text is not None else None
        except FilterError as error:
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _something_to_rescue(self) -> CellRules:
        named = Where.parse(self.filter).columns if self.filter else frozenset()
        if self.rescue_without_primary and "is_primary_data" not in named:
            raise ValueError(
                "rescue_without_primary goes with a filter on is_primary_data; without one nothing is dropped"
            )
        return self


class CellTypeRules(Document):
    """``[cell_types]``: which cell types, each rule counted on the cells that passed ``[cells]``.

    Attributes
    ----------
    descendants_of
        Label, id or exact synonym of the term whose kinds are kept, itself excluded.
    min_cells
        Fewest cells of a type.
    min_tech_samples
        Fewest (dataset_id, donor_id) pairs that a type occurs in.
    min_ancestors
        Fewest ancestors of a type's term in the ontology, the term itself excluded.
    """

    descendants_of: str | None = None
    min_cells: Positive | None = None
    min_tech_samples: Positive | None = None
    min_ancestors: Positive | None = None

    @property
    def need_ontology(self) -> bool:
        """Whether a rule asks what a cell type is a kind of."""
        return self.descendants_of is not None or self.min_ancestors is not None


class OntologySource(Document):
    """``[ontology]``: "guide" (cellxgene-ontology-guide) or an OBO file; the release that is wanted."""

    source: str = "guide"
    release: str | None = None


class GeneRules(Document):
    """``[genes]``: a gene list, or all genes of a feature_type; without either, all genes of the Census.

    Attributes
    ----------
    list
        File with a feature_id column; see `Recipe.gene_list`.
    n, sha256
        What the list must hold: number of genes, and sha256 of the ordered ids joined by newlines.
    allow_missing
        Leave out genes of the list that the Census lacks, instead of stopping.
    """

    list: str | None = None
    n: Positive | None = None
    sha256: Sha256 | None = None
    feature_type: str | None = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> GeneRules:
        if self.list and self.feature_type:
            raise ValueError("name list or feature_type, not both")
        if not self.list and (self.n or self.sha256 or self.allow_missing):
            raise ValueError("n, sha256 and allow_missing go with list")
        return self


class Recipe(Document):
    """Which cells and genes of a Census make a corpus."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    organism: str = "homo_sapiens"
    census: CensusSource = CensusSource()
    cells: CellRules = CellRules()
    quality: QualityRules = QualityRules()
    cell_types: CellTypeRules = CellTypeRules()
    ontology: OntologySource = OntologySource()
    genes: GeneRules = GeneRules()
    _folder: Path = PrivateAttr(default_factory=Path)

    @classmethod
    def load(cls, source: str | Path) -> Recipe:
        """Read a recipe that is shipped, by its name, or one from a file.

        Raises
        ------
        RecipeError
            When there is none, it is not TOML, or it has an unknown key or a value that does not fit.
        """
        shipped = sorted(path.stem for path in SHIPPED_PATH.glob("*.toml"))
        path = SHIPPED_PATH / f"{source}.toml" if str(source) in shipped else Path(source)
        try:
            document = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {path} is not TOML: {error}") from None
        except OSError as error:
            raise RecipeError(
                f"no recipe {str(source)!r}: {error.strerror}; shipped are {', '.join(shipped)}, "
                "or name a TOML file"
            ) from None
        try:
            recipe = cls.model_validate(document)
        except ValidationError as error:
            raise RecipeError(f"recipe {source}: {fault_in_words(error, cls)}") from None
        recipe._folder = path.resolve().parent
        return recipe

    @property
    def digest(self) -> str:
        """sha256 (hex) of the whole content; two ways to write the same recipe have one digest."""
        # A recipe without rules on quality has the digest that it had before there were any.
        left_out = {"quality"} if self.quality == QualityRules() else None
        return canonical_digest(self.model_dump(mode="json", exclude=left_out))

    def beside(self, path: str) -> str:
        """Return a path or uri of the recipe with a relative path made one from the recipe's own folder."""
        return path if "://" in path else str(self._folder / path)

    def gene_list(self, path: Path | None = None) -> GeneSpace | None:
        """Read the gene list that the recipe names.

        Parameters
        ----------
        path
            The file to read. Without it the name in the recipe is looked for beside the recipe, in the
            current folder, and in ``$CURATE_SHARED/data/reference``.

        Returns
        -------
        GeneSpace or None
            None when the recipe names no list.

        Raises
        ------
        RecipeError
            When it is not found, or is not the list that the recipe means (number of genes, digest).
        SourceError
            When the file cannot be read as a gene list.
        """
        if self.genes.list is None:
            if path is not None:
                raise RecipeError(
                    f"recipe {self.name} takes no gene list; leave {path} out or add [genes] list"
                )
            return None
        genes = GeneSpace.read(path or self._find(self.genes.list))
        if self.genes.n not in (None, genes.n_genes):
            raise RecipeError(
                f"the gene list holds {genes.n_genes:,} genes, recipe {self.name} means one of "
                f"{self.genes.n:,}; name the right file with --genes"
            )
        if self.genes.sha256 not in (None, genes.digest):
            raise RecipeError(
                f"the gene list has {genes.n_genes:,} genes, but not those that recipe {self.name} means, or "
                f"in another order: digest {genes.digest[:12]}, not {str(self.genes.sha256)[:12]}; "
                "name the right file with --genes"
            )
        return genes

    def _find(self, name: str) -> Path:
        folders = [self._folder, Path.cwd()]
        if shared := os.environ.get(SHARED_VARIABLE):
            folders.append(Path(shared) / "data" / "reference")
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise RecipeError(
            f"gene list {name} of recipe {self.name} is not shipped, and not in "
            f"{', '.join(str(folder) for folder in folders)}; name the file with --genes FILE"
        )
