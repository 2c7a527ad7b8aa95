"""How often a perturbed case gets another answer, with intervals, on exactly the cases that were perturbed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import project
import pytest

from osler.errors import InputError
from osler.evaluation import summary
from osler.evaluation.robustness import STRENGTHS, planned_perturbations, robustness
from osler.runs.predictions import Prediction
from osler.runs.results import Robustness
from osler.statistics import intervals
from osler.storage.contracts import validated
from osler.tasks.perturbation import PATIENT_PERTURBATIONS, TEXT_PERTURBATIONS, Perturbation

TYPOS = Perturbation("typos", 0.1)


def answer(case: int, label: str, given: str) -> Prediction:
    return Prediction(
        case_id=f"case/{case}",
        task="complaints",
        split="test",
        system="tuned",
        label=label,
        ranked=(given, *({"gout", "flu", "mumps"} - {given})) if given else (),
        parsed=bool(given),
    )


# Right, right, wrong, right, wrong; the last case is the one the typos could not change.
ORIGINAL = [answer(n, "gout", given) for n, given in enumerate(["gout", "gout", "flu", "gout", "flu"])]
# Still right; now wrong; wrong in another way; no answer at all.
PERTURBED = [answer(n, "gout", given) for n, given in enumerate(["gout", "flu", "mumps", ""])]


def test_the_figures_are_those_one_counts_by_hand() -> None:
    (record,) = robustness(ORIGINAL, {TYPOS: PERTURBED})
    assert (record["perturbation"], record["strength"], record["seed"]) == ("typos", 0.1, 0)
    assert (record["n"], record["unchanged"]) == (4, 1)
    for name, count in (("original_accuracy", 3), ("accuracy", 1), ("top_1_flip_rate", 3)):
        low, high = intervals.wilson_interval(count, 4)
        assert record[name] == {"value": count / 4, "low": low, "high": high, "method": "wilson"}
    change = record["change"]
    assert change["difference"] == -0.5
    assert -1 <= change["low"] < -0.5 < change["high"] <= 0
    assert change["method"] == "paired_bootstrap_percentile"


def test_a_system_that_does_not_care_changes_by_nothing_and_its_flip_rate_still_has_an_upper_bound() -> None:
    (record,) = robustness(ORIGINAL, {TYPOS: ORIGINAL})
    assert (record["change"]["difference"], record["change"]["low"], record["change"]["high"]) == (0, 0, 0)
    assert record["top_1_flip_rate"]["value"] == record["top_1_flip_rate"]["low"] == 0
    assert record["top_1_flip_rate"]["high"] > 0.3


def test_the_interval_of_the_change_is_that_of_paired_cases() -> None:
    """The same 40 of 400 cases become wrong: a change of 0.1, far better known than either accuracy."""
    rng = random.Random(0)
    before = [answer(n, "gout", "gout" if rng.random() < 0.5 else "flu") for n in range(400)]
    right = [row for row in before if row.correct]
    worse = {row.case_id for row in right[:40]}
    after = [answer(n, "gout", "mumps") if row.case_id in worse else row for n, row in enumerate(before)]
    (record,) = robustness(before, {TYPOS: after})
    assert record["change"]["difference"] == pytest.approx(-0.1)
    assert -0.14 < record["change"]["low"] < -0.1 < record["change"]["high"] < -0.06
    assert record["top_1_flip_rate"]["value"] == 0.1


def test_cases_of_one_publication_are_one_witness() -> None:
    """Twelve publications of ten patients each, all of whom answer alike: as good as twelve patients, not as 120."""
    before = [replace(answer(n, "gout", "gout"), group=f"PMID:{n // 10}") for n in range(120)]
    after = [replace(row, ranked=("flu",)) if n // 10 < 3 else row for n, row in enumerate(before)]
    (record,) = robustness(before, {TYPOS: after})
    (alone,) = robustness(
        [replace(row, group=None) for row in before], {TYPOS: [replace(r, group=None) for r in after]}
    )
    assert record["change"]["difference"] == alone["change"]["difference"] == -0.25
    assert record["change"]["method"] == "cluster_paired_bootstrap_percentile"
    assert record["top_1_flip_rate"]["method"] == "wilson_effective_n"
    for name in ("change", "accuracy", "top_1_flip_rate"):
        width, narrow = (of[name]["high"] - of[name]["low"] for of in (record, alone))
        assert width > 2.5 * narrow, name


def test_two_publications_are_too_few_for_an_interval_of_the_change() -> None:
    before = [replace(answer(n, "gout", "gout"), group=f"PMID:{n // 2}") for n in range(4)]
    (record,) = robustness(before, {TYPOS: [*before[:3], replace(before[3], ranked=("flu",))]})
    assert record["change"] == {"difference": -0.25, "low": None, "high": None, "method": "too_few_groups"}


def test_neither_the_order_of_the_lines_nor_that_of_the_perturbations_matters() -> None:
    strengths = [Perturbation("typos", 0.3), Perturbation("dropped", 0.5), TYPOS]
    records = robustness(ORIGINAL, dict.fromkeys(strengths, PERTURBED))
    assert [(r["perturbation"], r["strength"]) for r in records] == [("dropped", 0.5), ("typos", 0.1), ("typos", 0.3)]
    assert robustness(ORIGINAL[::-1], dict.fromkeys(strengths[::-1], PERTURBED[::-1])) == records
    assert json.loads(json.dumps(records)) == records


def test_a_perturbation_that_changed_no_case_has_no_figures() -> None:
    (record,) = robustness(ORIGINAL, {Perturbation("sex_swap", 1): []})
    assert (record["n"], record["unchanged"]) == (0, 5)
    assert record["accuracy"] is record["change"] is record["top_1_flip_rate"] is None


@pytest.mark.parametrize(
    ("perturbed", "words"),
    [
        ([*PERTURBED, answer(1, "gout", "mumps")], "case 'case/1' comes twice"),
        ([answer(7, "gout", "gout")], "case 'case/7' is perturbed, but not among the 5 originals"),
        ([answer(1, "flu", "gout")], "case 'case/1': label 'flu' perturbed, 'gout' before"),
        ([replace(PERTURBED[1], system="tfidf_svm")], "case 'case/1': system 'tfidf_svm' perturbed, 'tuned' before"),
        ([replace(PERTURBED[1], prompt_sha256="ab")], "case 'case/1': prompt_sha256 'ab' perturbed, None before; move"),
    ],
)
def test_predictions_that_do_not_belong_together_are_refused(perturbed: list[Prediction], words: str) -> None:
    with pytest.raises(InputError, match=words):
        robustness(ORIGINAL, {TYPOS: perturbed})


def test_every_perturbation_has_its_strengths_and_a_swap_is_whole() -> None:
    names = {perturbation.name for perturbation in planned_perturbations(PATIENT_PERTURBATIONS)}
    assert names == set(PATIENT_PERTURBATIONS) == set(STRENGTHS)
    assert {perturbation.name for perturbation in planned_perturbations(TEXT_PERTURBATIONS)} == set(TEXT_PERTURBATIONS)


def test_the_table_shows_both_accuracies_and_what_has_none() -> None:
    records = robustness(ORIGINAL, {TYPOS: PERTURBED, Perturbation("sex_swap", 1): []})
    content = {"schema": 1, "task": "complaints", "split": "test", "records": {"t" * 60: records}}
    measured = validated(
        Robustness,
        {**content, "predictions_sha256": {name: {"original": "0"} for name in content["records"]}},
        "robustness.json",
    )
    lines = summary.render_robustness(measured).splitlines()
    assert max(map(len, lines)) <= 110
    typos = next(line for line in lines if line.startswith("  typos "))
    assert "0.1  4  0.750 → 0.250  -0.500 [" in typos
    assert "0.750 [0.301, 0.954]" in typos
    assert next(line for line in lines if line.startswith("  sex_swap ")).split() == ["sex_swap", "1", "0", *"–––"]


def test_it_needs_no_torch() -> None:
    code = "import sys, osler.evaluation.robustness; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], env=project.environment(Path()), check=True)
