"""HPO's release files are read as they are: every current term, its wordings, and every annotation of a patient."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import GOLDEN

from osler.errors import InputError
from osler.terminology.hpo import (
    Annotation,
    Annotations,
    Ontology,
    read_annotations,
    read_genes,
    read_names,
    read_ontology,
    read_release,
)

LANTERN, DRONE = "OMIM:900001", "OMIM:900002"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.fixture(scope="module")
def annotations(ontology: Ontology) -> Annotations:
    return read_annotations(GOLDEN / "mini.hpoa", ontology)


def test_terms_have_their_names_and_parents(ontology: Ontology) -> None:
    assert ontology.release == "2099-01-31"
    assert ontology.terms["HP:9000011"].name == "Glowing palms"
    assert ontology.terms["HP:9000011"].parents == ("HP:9000010",)
    assert ontology.terms["HP:9000022"].parents == ("HP:9000011", "HP:9000020")
    assert ontology.terms["HP:0000001"].parents == ()


def test_ancestors_go_up_to_the_root_by_every_parent_and_include_the_term(ontology: Ontology) -> None:
    above = {"HP:9000022", "HP:9000011", "HP:9000010", "HP:9000020", "HP:0000118", "HP:0000001"}
    assert ontology.ancestors("HP:9000022") == above


def test_a_merged_term_is_found_under_its_current_id(ontology: Ontology) -> None:
    assert ontology.current("HP:9000911") == ontology.current("HP:9000912") == "HP:9000011"
    assert ontology.current("HP:9000011") == "HP:9000011"
    assert ontology.current("HP:9999999") is None


def test_obsolete_terms_and_relation_types_are_dropped(ontology: Ontology) -> None:
    assert ontology.current("HP:9000098") is None
    assert all(hpo_id.startswith("HP:") for hpo_id in ontology.terms)


def test_only_what_a_patient_can_have_is_a_phenotype(ontology: Ontology) -> None:
    others = {"HP:0000001", "HP:0000005", "HP:0003577", "HP:0003674"}
    assert ontology.phenotypes == set(ontology.terms) - others


@pytest.mark.parametrize(
    ("hpo_id", "wordings"),
    [
        # Exact and layperson ones, each once. Not: the name again, abbreviations, obsolete, related, broad and narrow
        # synonyms that no layperson uses, and words of three letters.
        ("HP:9000011", ("Palmar luminescence", 'Hands like "lamps"', "Lit hands", "Bright hands")),
        ("HP:9000010", ("Skin luminescence", "Lantern skin", "Self-lit skin")),
        ("HP:0000118", ()),
    ],
)
def test_wordings_are_what_somebody_could_say_for_this_very_term(
    ontology: Ontology, hpo_id: str, wordings: tuple[str, ...]
) -> None:
    assert ontology.terms[hpo_id].wordings == wordings


def row(annotations: Annotations, disease: str, hpo_id: str) -> Annotation:
    (found,) = [row for row in annotations.rows[disease] if row.hpo_id == hpo_id]
    return found


@pytest.mark.parametrize(
    ("disease", "hpo_id", "counts", "share"),
    [
        (LANTERN, "HP:9000010", (9, 10), None),
        (LANTERN, "HP:9000021", (0, 10), None),
        (LANTERN, "HP:9000012", None, 0.35),
        (DRONE, "HP:9000020", None, 0.125),
        (LANTERN, "HP:9000030", None, 0.9),  # "very frequent", 80-99%
        (DRONE, "HP:9000032", None, 0.0),  # "excluded"
        (LANTERN, "HP:9000031", None, None),
    ],
)
def test_frequencies_are_counts_or_shares_or_unknown(
    annotations: Annotations, disease: str, hpo_id: str, counts: tuple[int, int] | None, share: float | None
) -> None:
    found = row(annotations, disease, hpo_id)
    assert (found.counts, found.share) == (counts, share)


def test_a_row_says_whose_finding_it_is_and_who_published_it(annotations: Annotations) -> None:
    assert annotations.release == "2099-02-28"
    assert annotations.names == {LANTERN: "Lantern syndrome", DRONE: "Drone disease"}
    # Annotated under an id that has been merged since.
    assert row(annotations, LANTERN, "HP:9000011") == Annotation(
        LANTERN, "HP:9000011", frozenset({"PMID:901"}), "P", negated=False, counts=(1, 10), share=None, sex="female"
    )
    assert row(annotations, LANTERN, "HP:9000030").sex == "male"
    assert row(annotations, LANTERN, "HP:9000010").sex is None


def test_a_row_counted_over_several_publications_cites_each(annotations: Annotations) -> None:
    assert row(annotations, DRONE, "HP:9000032").references == {"PMID:903", "PMID:904"}


def test_what_the_disease_does_not_have_is_marked_as_such(annotations: Annotations) -> None:
    assert [row.hpo_id for row in annotations.rows[LANTERN] if row.negated] == ["HP:9000021"]


def test_onset_is_kept_and_inheritance_is_not(annotations: Annotations) -> None:
    assert [row.hpo_id for row in annotations.rows[LANTERN] if row.aspect == "C"] == ["HP:0003577"]
    assert {row.aspect for row in annotations.rows[LANTERN]} == {"P", "C"}


def test_rows_about_terms_the_ontology_does_not_have_are_dropped(annotations: Annotations) -> None:
    assert len(annotations.rows[LANTERN]) == 7, "of ten, less an obsolete term, an unknown one and an inheritance"


def test_every_name_of_a_disease_is_read_once(tmp_path: Path) -> None:
    assert read_names(GOLDEN / "mini.hpoa") == {LANTERN: ("Lantern syndrome",), DRONE: ("Drone disease",)}
    assert read_names(changed(tmp_path, "Lantern syndrome", "Lantern syndrome 1"))[LANTERN] == (
        "Lantern syndrome",
        "Lantern syndrome 1",
    )


def test_a_file_says_its_release(tmp_path: Path) -> None:
    assert read_release(GOLDEN / "mini.hpoa") == "2099-02-28"
    (tmp_path / "phenotype.hpoa").write_text("OMIM:1\tNo header\n")
    assert read_release(tmp_path / "phenotype.hpoa") == ""


def test_a_file_that_is_no_ontology_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hp.obo"
    path.write_text("<html>\n<body>Sign in to continue</body>\n</html>\n")
    with pytest.raises(InputError, match=rf"^{path}: no data-version"):
        read_ontology(path)


@pytest.mark.parametrize("content", ["", "data-version: 2099\n\n[Term]\nid: HP:0000118\n"], ids=["empty", "cut off"])
def test_an_ontology_that_was_not_downloaded_to_its_end_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hp.obo"
    path.write_text(content)
    with pytest.raises(InputError, match=str(path)):
        read_ontology(path)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """mini.hpoa with one change, which is on its sixth line."""
    path = tmp_path / "phenotype.hpoa"
    lines = (GOLDEN / "mini.hpoa").read_text().splitlines(keepends=True)
    assert old in lines[5]
    lines[5] = lines[5].replace(old, new)
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(("old", "new", "columns"), [("\t1/10", "", 11), ("\tP\t", "\tP\t\t", 13)])
def test_a_row_without_its_twelve_columns_is_named_by_file_and_line(
    tmp_path: Path, ontology: Ontology, old: str, new: str, columns: int
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(InputError, match=rf"^{path}:6: {columns} columns"):
        read_annotations(path, ontology)


@pytest.mark.parametrize("frequency", ["1/ten", "1/2/10", "ten%"])
def test_a_frequency_that_is_no_number_is_named_by_file_and_line(
    tmp_path: Path, ontology: Ontology, frequency: str
) -> None:
    path = changed(tmp_path, "1/10", frequency)
    with pytest.raises(InputError, match=rf"^{path}:6: .*{frequency}"):
        read_annotations(path, ontology)


def test_genes_are_read_by_disease(tmp_path: Path) -> None:
    path = tmp_path / "genes_to_phenotype.txt"
    path.write_text("gene_symbol\thpo_id\tdisease_id\nFBN1\tHP:1\tOMIM:1\nFBN1\tHP:2\tOMIM:1\nLMNA\tHP:1\tOMIM:1\n")
    assert read_genes(path) == {"OMIM:1": {"FBN1", "LMNA"}}
    path.write_text("gene\tdisease_id\n")
    with pytest.raises(InputError, match="has no column gene_symbol"):
        read_genes(path)
