"""What is known of every disease, as sparse matrices of diseases and phenotype terms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from osler.errors import InputError
from osler.patients import PSEUDOCOUNTS, pool_annotations
from osler.terminology import Annotation, Annotations, Ontology

Floats = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]

VOCABULARIES = ("OMIM", "ORPHA", "DECIPHER")  # what phenotype.hpoa names diseases by


@dataclass(frozen=True)
class DiseaseIndex:
    """Diseases and how often their patients have each finding. A row is a disease, a column is a term.

    Attributes:
        release: of the annotations.
        diseases: ids, sorted; those with a finding.
        names: parallel to ``diseases``.
        terms: ids of the phenotypic abnormalities, sorted.
        annotated: P(finding | disease) of the terms that the disease is annotated with, shape (diseases, terms).
        implied: the same closed upwards: a disease has a term at least as often as any term below it.
        excluded: 1 where patients were looked at and nobody has the term, which nothing below it implies either.
        ancestors: 1 where the column's term is the row's own or above it, shape (terms, terms).
    """

    release: str
    diseases: tuple[str, ...]
    names: tuple[str, ...]
    terms: tuple[str, ...]
    annotated: sparse.csr_array
    implied: sparse.csr_array
    excluded: sparse.csr_array
    ancestors: sparse.csr_array

    @classmethod
    def build(
        cls,
        ontology: Ontology,
        annotations: Annotations,
        vocabularies: Collection[str] = ("OMIM",),
        equivalents: Mapping[str, str] = {},
    ) -> DiseaseIndex:
        """The index of all diseases of ``vocabularies`` that have a finding; takes some seconds.

        ``equivalents`` is id → the id of the same disease that it is ranked under, with the findings of both; of a
        chain of them the last that is known and in ``vocabularies``. Raises :class:`InputError` where no disease has a
        finding.
        """
        together: defaultdict[str, list[Annotation]] = defaultdict(list)
        for disease, rows in sorted(annotations.rows.items()):
            if disease.split(":")[0] in vocabularies:
                last = following = disease
                while (following := equivalents.get(following, "")) != "":
                    if following in annotations.rows and following.split(":")[0] in vocabularies:
                        last = following
                together[last] += rows
        pooled = {disease: pool_annotations(rows, ontology).findings for disease, rows in sorted(together.items())}
        profiles = {
            disease: {i: p for i, p in of.items() if p > 0} for disease, of in pooled.items() if any(of.values())
        }
        if not profiles:
            raise InputError(f"no disease of {', '.join(vocabularies)} has a finding in HPOA {annotations.release}")
        terms = tuple(sorted(ontology.phenotypes))
        column = {term: n for n, term in enumerate(terms)}
        above = [sorted(column[i] for i in ontology.ancestors(term) & ontology.phenotypes) for term in terms]
        ancestors = _matrix(above, [[1.0] * len(columns) for columns in above], len(terms))
        annotated = _matrix(
            [[column[i] for i in findings] for findings in profiles.values()],
            [list(findings.values()) for findings in profiles.values()],
            len(terms),
        )
        implied = _closed(annotated, ancestors)
        in_nobody = [[column[i] for i, p in pooled[disease].items() if p == 0] for disease in profiles]
        excluded = _matrix(in_nobody, [[1.0] * len(columns) for columns in in_nobody], len(terms))
        return cls(
            release=annotations.release,
            diseases=tuple(profiles),
            names=tuple(annotations.names[disease] for disease in profiles),
            terms=terms,
            annotated=annotated,
            implied=implied,
            excluded=sparse.csr_array(excluded - excluded.multiply(implied > 0)),
            ancestors=ancestors,
        )

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Term → its column."""
        return {term: n for n, term in enumerate(self.terms)}

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Disease → its row."""
        return {disease: n for n, disease in enumerate(self.diseases)}

    def is_organ_system(self, column: int) -> bool:
        """Whether the term is the root, "Phenotypic abnormality", or one right below it."""
        return len(self.above(column)) <= 2

    @cached_property
    def information(self) -> Floats:
        """-log of the share of diseases that have a term or one below it, natural logarithm, shape (terms,).

        A term that no disease has is taken as one that half a disease has.
        """
        counts = np.maximum(np.bincount(self.implied.indices, minlength=len(self.terms)), PSEUDOCOUNTS[0])
        return np.asarray(np.log(len(self.diseases) / counts))

    @cached_property
    def background(self) -> Floats:
        """The mean P(finding) over all diseases, shape (terms,). As if half a disease more had every finding."""
        totals = np.asarray(self.implied.sum(axis=0)).ravel()
        return np.asarray((totals + PSEUDOCOUNTS[0]) / (len(self.diseases) + PSEUDOCOUNTS[1]))

    def above(self, column: int) -> Columns:
        """The columns of a term and of everything above it."""
        start, end = self.ancestors.indptr[column : column + 2]
        return np.asarray(self.ancestors.indices[start:end])

    def columns(self, findings: Sequence[str]) -> Columns:
        """The columns of ``findings``, each once. Raises ``KeyError`` for an id that is no phenotypic abnormality."""
        return np.array(sorted({self.column[i] for i in findings}), dtype=np.intp)


def _matrix(columns: Sequence[Sequence[int]], values: Sequence[Sequence[float]], width: int) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    indices = np.fromiter((column for row in columns for column in row), dtype=np.intp)
    data = np.fromiter((value for row in values for value in row), dtype=np.float64)
    matrix = sparse.csr_array((data, indices, starts), shape=(len(columns), width))
    matrix.sort_indices()
    return matrix


def _closed(annotated: sparse.csr_array, ancestors: sparse.csr_array) -> sparse.csr_array:
    """Each row's values carried to all ancestors of their columns; where several meet, the largest."""
    rows = np.repeat(np.arange(annotated.shape[0]), np.diff(annotated.indptr))
    sizes = np.diff(ancestors.indptr)[annotated.indices]
    first = np.repeat(ancestors.indptr[annotated.indices] - (np.cumsum(sizes) - sizes), sizes)
    columns = ancestors.indices[first + np.arange(sizes.sum())]
    keys = np.repeat(rows, sizes) * annotated.shape[1] + columns
    values = np.repeat(annotated.data, sizes)
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    cells = keys[starts]
    return sparse.csr_array(
        (np.maximum.reduceat(values, starts), (cells // annotated.shape[1], cells % annotated.shape[1])),
        shape=annotated.shape,
    )
