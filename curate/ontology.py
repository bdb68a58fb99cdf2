"""The Cell Ontology: names to ids, and what is a kind of what.

Two sources, one interface:

- an OBO file, read by obonet. Edges are ``is_a``, and the genus of a logical definition:
  ``intersection_of: CL:0000542`` says as much as ``is_a: CL:0000542``, and in the *base* file of a release,
  which holds asserted axioms only, it is often the only place that says it. In the full and simple files,
  which a reasoner has gone over, it adds nothing.
- ``"guide"``: cellxgene-ontology-guide, bundled and offline. It keeps a term's ancestors, not its edges, and
  counts ``part_of`` as well as ``is_a``; it holds the few latest releases only.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.documents import Document, file_digest
from curate.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GUIDE = "guide"
EXACT_SYNONYM = re.compile(r'^"(?P<text>(?:[^"\\]|\\.)*)" EXACT\b')


class OntologyRecord(Document):
    """Which ontology was used, as written down beside what was made with it."""

    source: str
    release: str
    sha256: str | None = None
    edges: Literal["is_a", "is_a, part_of"]


@dataclass(frozen=True)
class Term:
    """A term: `synonyms` are those of scope EXACT; `ancestors` excludes the term itself."""

    label: str
    synonyms: tuple[str, ...] = ()
    ancestors: frozenset[str] = frozenset()
    obsolete: bool = False
    replaced_by: str | None = None


@dataclass(frozen=True)
class Ontology:
    """Terms of one ontology, in one release."""

    record: OntologyRecord
    terms: Mapping[str, Term]
    alternative_ids: Mapping[str, str]

    @classmethod
    def load(cls, source: str | Path = GUIDE, *, release: str | None = None) -> Ontology:
        """Read an ontology.

        Parameters
        ----------
        source
            ``"guide"`` for the Cell Ontology of cellxgene-ontology-guide, else the path of an OBO file.
        release
            For the guide: the release wanted ("2025-07-30"). Where the guide has it not, its latest is taken;
            compare with `release` of the result. An OBO file has the release that its ``data-version`` says.

        Raises
        ------
        RecipeError
            When the file is missing or is not OBO.
        """
        return _read_guide(release) if source == GUIDE else _read_obo(Path(source))

    @property
    def release(self) -> str:
        """The date of the release where it has one ("2022-12-15"), else what the source says."""
        return self.record.release

    def __contains__(self, term_id: object) -> bool:
        """Tell whether the id is a term in use; obsolete terms are not."""
        return term_id in self.terms and not self.terms[str(term_id)].obsolete

    def id_of(self, text: str) -> str | None:
        """Return the id of the term with this id, label or exact synonym.

        Labels win over synonyms, the exact case over any case. An obsolete term, an unknown text and one that
        fits several terms give None; `replacement` says what became of an obsolete term.
        """
        if text in self:
            return text
        if text in self.alternative_ids:
            return self.alternative_ids[text]
        if text in self._by_label:
            return self._by_label[text]
        for lookup in (self._by_folded_label, self._by_folded_synonym):
            found = lookup.get(text.casefold(), set())
            if found:
                return next(iter(found)) if len(found) == 1 else None
        return None

    def label(self, term_id: str) -> str:
        """Return the label of a term, obsolete or not; an id that is no term is a KeyError."""
        return self.terms[term_id].label

    def ancestors(self, term_id: str) -> frozenset[str]:
        """Return the ids of all that this is a kind of, not its own; an id that is no term is a KeyError."""
        return self.terms[term_id].ancestors

    def descendants(self, term_id: str) -> frozenset[str]:
        """Return the ids of all kinds of this term, itself excluded; an id that is no term is a KeyError."""
        if term_id not in self.terms:
            raise KeyError(term_id)
        return frozenset(self._descendants[term_id])

    def parents(self, term_id: str) -> frozenset[str]:
        """Return the ids of the nearest ancestors: those that are no ancestor of another one.

        An id that is no term is a KeyError. An edge to an ancestor that a longer way leads to as well says
        nothing more, and is none here.
        """
        ancestors = self.terms[term_id].ancestors
        farther = {each for near in ancestors if near in self.terms for each in self.terms[near].ancestors}
        return frozenset(ancestors - farther)

    def children(self, term_id: str) -> frozenset[str]:
        """Return the ids of the terms that this is a parent of; an id that is no term is a KeyError."""
        return frozenset(each for each in self.descendants(term_id) if term_id in self.parents(each))

    def replacement(self, text: str) -> str | None:
        """Return the id of the term in use that replaces an obsolete one, or None.

        It is named by its id or its label; "native cell" and "obsolete native cell" both find it.
        """
        term_id = text if text in self.terms else self._obsolete_by_label.get(text.removeprefix("obsolete "))
        if term_id is None or not self.terms[term_id].obsolete:
            return None
        successor = self.terms[term_id].replaced_by
        return successor if successor in self else None

    @cached_property
    def _by_label(self) -> dict[str, str]:
        return {term.label: term_id for term_id, term in self._in_use}

    @cached_property
    def _by_folded_label(self) -> dict[str, set[str]]:
        return _inverted((term_id, [term.label.casefold()]) for term_id, term in self._in_use)

    @cached_property
    def _by_folded_synonym(self) -> dict[str, set[str]]:
        return _inverted(
            (term_id, [text.casefold() for text in term.synonyms]) for term_id, term in self._in_use
        )

    @cached_property
    def _descendants(self) -> dict[str, set[str]]:
        return defaultdict(set, _inverted((term_id, term.ancestors) for term_id, term in self._in_use))

    @cached_property
    def _obsolete_by_label(self) -> dict[str, str]:
        return {term.label.removeprefix("obsolete "): i for i, term in self.terms.items() if term.obsolete}

    @cached_property
    def _in_use(self) -> list[tuple[str, Term]]:
        return [(term_id, term) for term_id, term in self.terms.items() if not term.obsolete]


def _inverted(pairs: Iterable[tuple[str, Iterable[str]]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for term_id, texts in pairs:
        for text in texts:
            found[text].add(term_id)
    return dict(found)


def _read_guide(release: str | None) -> Ontology:
    from cellxgene_ontology_guide.supported_versions import CXGSchema, load_supported_versions

    with warnings.catch_warnings():
        # A schema version that is on its way out warns; its ontology is as good as it was.
        warnings.simplefilter("ignore", DeprecationWarning)
        schemas = [CXGSchema()] + [CXGSchema(version) for version in load_supported_versions()]
    releases = [str(schema.supported_ontologies["CL"]["version"]).removeprefix("v") for schema in schemas]
    chosen = releases.index(release) if release in releases else 0
    terms = {
        term_id: Term(
            label=term["label"],
            synonyms=tuple(term.get("synonyms", ())),
            ancestors=frozenset(term["ancestors"]),
            obsolete=term["deprecated"],
            replaced_by=term.get("replaced_by"),
        )
        for term_id, term in schemas[chosen].ontology("CL").items()
    }
    record = OntologyRecord(source=GUIDE, release=releases[chosen], edges="is_a, part_of")
    return Ontology(record, terms, {})


def _read_obo(path: Path) -> Ontology:
    import obonet

    if not path.is_file():
        raise RecipeError(f"{path}: no such ontology file; name an OBO file or '{GUIDE}'")
    try:
        graph = obonet.read_obo(str(path), ignore_obsolete=False)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read as OBO: {error}; name an OBO file or '{GUIDE}'") from error
    # A node without a name is only named by an edge: it is no term of this file.
    nodes: dict[str, dict[str, Any]] = {i: data for i, data in graph.nodes(data=True) if "name" in data}
    if not nodes:
        raise RecipeError(f"{path} holds no terms; name an OBO file or '{GUIDE}'")
    parents = {
        term_id: [target for _, target, edge in graph.out_edges(term_id, keys=True) if edge == "is_a"]
        + [genus for genus in data.get("intersection_of", []) if " " not in genus]
        for term_id, data in nodes.items()
    }
    own = {i: data for i, data in nodes.items() if _belongs(i, str(graph.graph.get("ontology", "")))}
    terms = {
        term_id: Term(
            label=data["name"],
            synonyms=tuple(m["text"] for text in data.get("synonym", []) if (m := EXACT_SYNONYM.match(text))),
            ancestors=frozenset(i for i in _closure(term_id, parents) if i in own),
            obsolete=data.get("is_obsolete") == "true",
            replaced_by=next(iter(data.get("replaced_by", [])), None),
        )
        for term_id, data in own.items()
    }
    version = str(graph.graph.get("data-version", "unknown"))
    date = re.search(r"\d{4}-\d{2}-\d{2}", version)
    record = OntologyRecord(
        source=path.name, release=date[0] if date else version, sha256=file_digest(path), edges="is_a"
    )
    alternatives = {other: term_id for term_id, data in own.items() for other in data.get("alt_id", [])}
    return Ontology(record, terms, {i: j for i, j in alternatives.items() if not terms[j].obsolete})


def _belongs(term_id: str, ontology: str) -> bool:
    """Tell whether a term is the ontology's own: cl.obo holds terms of UBERON and GO too."""
    name = ontology.split("/")[0].casefold()
    return not name or term_id.split(":")[0].casefold() == name


def _closure(term_id: str, parents: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [term_id]
    while waiting:
        for parent in parents.get(waiting.pop(), []):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found - {term_id}
