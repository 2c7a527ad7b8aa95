"""Ids of one disease are ranked as one, by a file that says which they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import GOLDEN

from osler.errors import InputError
from osler.ranking import DiseaseIndex, read_equivalents
from osler.terminology import read_annotations, read_ontology


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "same.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_what_an_id_is_ranked_under(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff# id\tthe same\nORPHA:2\tORPHA:1\n\nORPHA:1\tOMIM:1\nORPHA:1\tOMIM:1\n")
    assert read_equivalents(path) == {"ORPHA:2": "ORPHA:1", "ORPHA:1": "OMIM:1"}
    path.write_bytes(b"ORPHA:1\tOMIM:1 \xe9\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_equivalents(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ORPHA:1 OMIM:1\n", r'same\.tsv:1: "ORPHA:1 OMIM:1"; expected two ids with a tab between'),
        ("ORPHA:1\t154700\n", "expected two ids"),
        ("ORPHA:1\tomim:154700\n", "expected two ids"),
        ("ORPHA:1\tOMIM:1\nORPHA:1\tOMIM:2\n", r"same\.tsv:2: ORPHA:1 is OMIM:2 here and OMIM:1 in line 1; keep one"),
        ("A:1\tA:2\nA:2\tA:3\nA:3\tA:2\n", "a cycle, A:2 → A:3 → A:2; take one of its lines out"),
        ("A:1\tA:1\n", "a cycle, A:1 → A:1"),
    ],
)
def test_a_file_that_says_something_else_or_nothing_definite_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_equivalents(written(tmp_path, text))


def test_the_findings_of_both_are_known_of_the_one() -> None:
    ontology = read_ontology(GOLDEN / "mini.obo")
    annotations = read_annotations(GOLDEN / "cohort.hpoa", ontology)
    both = ("OMIM", "ORPHA")
    apart = DiseaseIndex.build(ontology, annotations, both)
    (orpha,) = (disease for disease in apart.diseases if disease.startswith("ORPHA:"))
    index = DiseaseIndex.build(ontology, annotations, both, {orpha: "OMIM:900101", "OMIM:900102": "MONDO:1"})
    assert index.diseases == tuple(disease for disease in apart.diseases if disease != orpha)
    merged, alone = (of.annotated[[of.row["OMIM:900101"]]] for of in (index, apart))
    assert {*merged.indices} == {*alone.indices, *apart.annotated[[apart.row[orpha]]].indices}
    # Of a chain, the last that is known.
    chain = {orpha: "OMIM:900101", "OMIM:900101": "MONDO:1"}
    assert DiseaseIndex.build(ontology, annotations, both, chain).diseases == index.diseases
    # What is not ranked is merged with nothing.
    assert DiseaseIndex.build(ontology, annotations, ("ORPHA",), {orpha: "OMIM:900101"}).diseases == (orpha,)
