"""What the rankers are worth is measured from HPO ids and from text, apart, and stands on the task's page."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import ROOT, individual, make_differential

from osler.ranking import load_fusion
from osler.recipe.sections import BaseSection
from osler.reproduction import rankings, readme_tables
from osler.storage import write_model
from osler.tasks import AllDiseases, load_task

LAMP = "OMIM:900101"
FINDINGS = ["HP:9000010", "HP:9000011", "HP:9000012"]


@pytest.fixture
def measured(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> rankings.Rankings:
    people = [
        individual(
            case_id=f"PMID_{n}",
            references=[f"PMID:{n}"],
            disease_id=LAMP,
            disease="Lamp syndrome",
            observed=[[hpo_id, ""] for hpo_id in FINDINGS],
        )
        for n in range(8000, 8030)
    ]
    make_differential(tmp_path, tiny_base, people)
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    source = load_task(tmp_path / "tasks" / "made_up").source
    assert isinstance(source, AllDiseases)
    return rankings.measure(source, load_fusion(), ["phenopackets"])


def test_every_ranker_is_measured_on_every_input(measured: rankings.Rankings) -> None:
    whole = [row for row in measured.rows if row.split == "phenopackets"]
    assert [(row.input, row.system) for row in whole] == [(i, s) for i in rankings.INPUTS for s in rankings.SYSTEMS]
    assert {(row.n, row.diseases) for row in whole} == {(whole[0].n, 1)}
    for row in whole:
        values = [row.recall[k].value for k in rankings.DEPTHS]
        assert values == sorted(values)
        assert values[-1] == 1.0, "there are three diseases"
    assert {row.split for row in measured.rows} == {"phenopackets", "phenopackets, new publication"}


def test_ids_and_the_text_that_names_them_come_to_the_same(measured: rankings.Rankings) -> None:
    by_input = {row.input: row.recall for row in measured.rows if row.system == rankings.MIXTURE}
    assert by_input[rankings.IDS] == by_input[rankings.NAMED] == by_input[rankings.TEXT]
    assert measured.without_findings["phenopackets, text"] == 0


def test_the_page_of_the_task_has_the_table_of_its_file(measured: rankings.Rankings, tmp_path: Path) -> None:
    path = rankings.rankings_path(tmp_path)
    path.parent.mkdir(parents=True)
    write_model(path, measured)
    assert rankings.read_rankings(path) == measured
    table = rankings.table(measured)
    assert "| phenopackets | " in table
    assert "published, not run here: [PhenoBrain](https://" in table
    stored = rankings.rankings_path(ROOT)
    page = readme_tables.pages(ROOT)[stored.with_name("README.md")]
    assert rankings.table(rankings.read_rankings(stored)) in page
    assert page == stored.with_name("README.md").read_text(encoding="utf-8"), "run scripts/record_expected.py"
