"""Cell types that a task names: texts to terms of the Cell Ontology."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from curate.errors import TaskError
from curate.nearest import nearest_few

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.ontology import Ontology

PLACEHOLDER = "TO BE NAMED"
"""What `curate task init` writes where a person has to name cell types."""
_ID = re.compile(r"[A-Z]+:\d+")


def terms_of(texts: Iterable[str], ontology: Ontology, *, where: str) -> tuple[str, ...]:
    """Return the ids of terms, ascending and distinct; an obsolete one counts as what replaced it.

    Parameters
    ----------
    texts
        Ids, labels or exact synonyms.
    where
        The key that they stand under, for messages.

    Raises
    ------
    TaskError
        When one is no term, naming the nearest labels, or stands for several.
    """
    found = set()
    for text in texts:
        term_id = find_term(text, ontology)
        if text == PLACEHOLDER:
            raise TaskError(
                f"{where} still holds the placeholder {text!r}: name the cell types that the task wants, "
                'such as "T cell" or "CL:0000236"'
            )
        if term_id is None:
            raise TaskError(
                f"{where}: {text!r} is no term of the Cell Ontology ({ontology.release}); "
                f"{_nearest(text, ontology)}"
            )
        found.add(term_id)
    return tuple(sorted(found))


def find_term(text: str, ontology: Ontology) -> str | None:
    """Return the id of the term in use that a text stands for, or None."""
    return ontology.id_of(text) or ontology.replacement(text)


def find_type(term_id: str | None, label: str | None, ontology: Ontology) -> str | None:
    """Return the id of a cell's type, which is told by its term, else by its label, or None."""
    for text in (term_id, label):
        if text is not None and (found := find_term(text, ontology)) is not None:
            return found
    return None


def _nearest(text: str, ontology: Ontology) -> str:
    """Offer labels that are near; for an id, the ids that are near with their labels."""
    in_use = [term_id for term_id in ontology.terms if term_id in ontology]
    if _ID.fullmatch(text):
        near = get_close_matches(text, in_use, n=3, cutoff=0.0)
        if text in ontology.terms:
            return f"it is obsolete ({ontology.label(text)}), and nothing is said to replace it; give a label"
        named = ", ".join(f"{each} ({ontology.label(each)})" for each in near)
        return (
            f"no term has this id; give the label of the type instead, labels are matched (ids of like "
            f"digits, which need not be like types: {named})"
        )
    return nearest_few(text, [ontology.label(term_id) for term_id in in_use])
