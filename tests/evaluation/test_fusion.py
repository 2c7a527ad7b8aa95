"""What the tuned model adds to classifiers and rankers: a mixture that is never judged on what it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from osler.errors import InputError
from osler.evaluation import fusion, report, results, summary
from osler.evaluation.answers import read_splits
from osler.runs import Fusion, Prediction, Results, Run, read_predictions, write_predictions
from osler.storage import plain, validated

TUNED = "tiny@1.0.0"
LABELS = [f"OMIM:{number}" for number in range(20)]
GOOD, FAIR, RANDOM = 2.5, 2.0, 0.0
N = {"test": 300, "validation": 150}


def rows(
    system: str, skill: float, split: str = "validation", publications: int = 30, sharpness: float = 2.0
) -> list[Prediction]:
    """Answers in which the score of the right label stands ``skill`` standard deviations out from noise."""
    label_of, noise = np.random.default_rng(len(split)), np.random.default_rng([len(split), *system.encode()])
    made = []
    for case, right in enumerate(label_of.integers(0, len(LABELS), N[split])):
        scores = noise.normal(size=len(LABELS))
        scores[right] += skill
        probabilities = softmax(sharpness * scores)
        order = np.argsort(-probabilities)
        made.append(
            Prediction(
                f"case-{case:03d}",
                "made_up",
                split,
                system,
                LABELS[right],
                tuple(LABELS[i] for i in order),
                tuple(probabilities[order].tolist()),
                group=f"PMID:{case % publications}",
            )
        )
    return made


def files(run: Run, *systems: Sequence[Prediction]) -> list[Path]:
    paths = []
    for of_system in systems:
        paths.append(run.prediction_path("made_up", of_system[0].split, of_system[0].system))
        write_predictions(paths[-1], of_system)
    return paths


def both(system: str, skill: float) -> list[list[Prediction]]:
    return [rows(system, skill, split) for split in N]


def fused(folder: Path, *systems: Sequence[Prediction]) -> fusion.Fused:
    made = fusion.fuse_files(files(Run(folder), *systems), TUNED)
    assert made is not None
    return made


def evaluated(folder: Path, *systems: Sequence[Prediction]) -> tuple[Results, list[Path]]:
    recipe: Any = SimpleNamespace(name="tiny", version="1.0.0", task=SimpleNamespace(name="made_up"))
    given = files(Run(folder), *systems)
    made, mixed = fusion.write(Run(folder), recipe, given)
    return results.score([*given, *mixed], folder / "results.json", 200, compared=TUNED, fused=made), [*given, *mixed]


def test_systems_that_know_different_things_are_beaten_by_their_mixture_and_pages_say_so(tmp_path: Path) -> None:
    scored, paths = evaluated(tmp_path, *both(TUNED, GOOD), *both("tfidf_svm", FAIR), *both("majority", RANDOM))
    record = next(record for record in scored.records if record.split == "test")
    assert {(row.a, row.b) for row in record.comparisons} == {
        (TUNED, "tfidf_svm"),
        (TUNED, "majority"),
        ("fused", TUNED),
        ("fused", "tfidf_svm"),
    }
    assert all(row.low is not None and row.low > 0 for row in record.against("fused").values())
    assert all(row.method == "sign_flip_exact" for row in record.comparisons)
    assert scored.fused is not None
    assert list(scored.fused.weights) == [TUNED, "tfidf_svm"], "the majority is no part"
    assert (scored.fused.fitted_on.n, scored.fused.groups) == (150, 30)
    calibrated = record.systems["fused"].calibration
    assert calibrated.before is not None
    assert calibrated.before.ece is not None
    assert calibrated.before.ece.value < 0.06
    assert calibrated.temperature == pytest.approx(1, abs=0.25), "the sum of the weights is the temperature already"
    page = report.write(tmp_path / "results.json", scored, paths).read_text()
    formula = f"log p(fused) = {scored.fused.weights[TUNED]:.2f} × log p({TUNED}) + "
    for text in (page, summary.render_table(scored), summary.markdown_table(scored.records, scored.fused)):
        assert "fused is above every part of it (Holm, p &lt; 0.05 each)" in text.replace("p < 0", "p &lt; 0")
    for text in (page, summary.render_table(scored)):
        assert formula in text


def test_a_random_part_has_no_say_and_the_pages_do_not_claim_a_gain(tmp_path: Path) -> None:
    scored, _ = evaluated(tmp_path, *both(TUNED, GOOD), *both("tfidf_svm", RANDOM))
    assert scored.fused is not None
    assert scored.fused.weights["tfidf_svm"] < 0.15 < scored.fused.weights[TUNED]
    record = next(record for record in scored.records if record.split == "test")
    assert record.against("fused")[TUNED].p_adjusted > 0.05
    assert f"fused is not shown to be above {TUNED}" in summary.render_table(scored)


def test_adding_the_mixture_changes_nothing_of_what_is_said_of_the_model(tmp_path: Path) -> None:
    systems = *both(TUNED, GOOD), *both("tfidf_svm", FAIR)
    with_it, paths = evaluated(tmp_path, *systems)
    without = results.score([p for p in paths if "fused" not in p.name], tmp_path / "without.json", 200, compared=TUNED)
    assert without.fused is None
    for ours, theirs in zip(with_it.records, without.records, strict=True):
        assert ours.against(TUNED) == theirs.against(TUNED)


def test_no_case_of_validation_is_answered_with_weights_of_its_own_group(tmp_path: Path) -> None:
    tuned, svm = rows(TUNED, GOOD), rows("tfidf_svm", FAIR)
    before = fused(tmp_path, tuned, svm)
    # One publication more for which the model is certain and wrong: whatever is fitted on it, trusts the model less.
    wrong = [replace(row, label=row.ranked[-1]) if row.group == "PMID:7" else row for row in (*tuned, *svm)]
    labels = {row.case_id: row.label for row in wrong if row.system == TUNED}
    wrong = [replace(row, label=labels[row.case_id]) for row in wrong]
    after = fused(tmp_path / "wrong", wrong[: len(tuned)], wrong[len(tuned) :])
    assert after.fusion.weights != before.fusion.weights
    changed = {
        now.group
        for was, now in zip(before.answers["validation"], after.answers["validation"], strict=True)
        if was.probabilities != now.probabilities
    }
    folds = dict(zip(*_folds(tuned), strict=True))
    assert {folds[group] for group in folds if group not in changed} == {folds["PMID:7"]}
    assert len(changed) == 24, "the groups of the four other folds"


def _folds(tuned: Sequence[Prediction]) -> tuple[list[str], list[int]]:
    units = [row.group or row.case_id for row in tuned]
    return units, fusion.log_linear.grouped_folds(units, fusion.FOLDS).tolist()


def test_where_all_cases_are_of_one_group_nothing_is_fitted_for_them(tmp_path: Path) -> None:
    made = fused(tmp_path, rows(TUNED, GOOD, publications=1), rows("tfidf_svm", FAIR, publications=1))
    first, tuned, svm = made.answers["validation"][0], rows(TUNED, GOOD)[0], rows("tfidf_svm", FAIR)[0]
    of = [dict(zip(row.ranked, row.probabilities or (), strict=True)) for row in (tuned, svm)]
    means = np.array([(of[0][label] * of[1][label]) ** 0.5 for label in first.ranked])
    assert first.probabilities == pytest.approx(means / means.sum(), abs=1e-3)


def test_a_part_without_probabilities_is_left_out_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [[replace(row, probabilities=None) for row in of] for of in both("tfidf_char_svm", GOOD)]
    scored, _ = evaluated(tmp_path, *both(TUNED, GOOD), *both("tfidf_svm", FAIR), *silent)
    assert scored.fused is not None
    assert scored.fused.left_out == ("tfidf_char_svm",)
    assert "fused: without tfidf_char_svm, which gives no probabilities" in capsys.readouterr().out
    assert "without tfidf_char_svm, which gives no probabilities" in summary.render_table(scored)


def test_without_the_models_probabilities_there_is_no_mixture(tmp_path: Path) -> None:
    """What the model adds to the others is the question; a mixture of those alone does not answer it."""
    silent = [[replace(row, probabilities=None) for row in of] for of in both(TUNED, GOOD)]
    given = files(Run(tmp_path), *silent, *both("tfidf_svm", FAIR), *both("encoder", FAIR))
    assert fusion.fuse_files(given, TUNED) is None


@pytest.mark.parametrize("splits", [["test"], ["test", "validation"]])
def test_without_validation_or_a_second_part_there_is_no_mixture_and_that_is_said(
    splits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ("tfidf_svm",) if splits == ["test"] else ("majority", "base_model")
    systems = [rows(system, FAIR, split) for system in (TUNED, *others) for split in splits]
    scored, paths = evaluated(tmp_path, *systems)
    assert scored.fused is None
    assert not any("fused" in path.name for path in paths)
    assert (
        "fused: left out: needs validation among the splits, and probabilities of the model" in capsys.readouterr().out
    )


def test_a_label_that_a_part_does_not_rank_can_still_win(tmp_path: Path) -> None:
    """As an encoder that never saw a label in training, or a ranker of diseases of which one has no finding."""
    short = []
    for row in rows("semantic_similarity", GOOD, sharpness=0.5):
        kept = [(label, p) for label, p in zip(row.ranked, row.probabilities or (), strict=True) if label != LABELS[0]]
        total = sum(p for _, p in kept)
        short.append(
            replace(row, ranked=tuple(label for label, _ in kept), probabilities=tuple(p / total for _, p in kept))
        )
    made = fused(tmp_path, rows(TUNED, GOOD), short)
    answers = made.answers["validation"]
    assert all(set(row.ranked) == set(LABELS) for row in answers)
    assert any(row.answer == LABELS[0] and row.correct for row in answers)
    assert made.fusion.floor == fusion.FLOOR


def test_a_label_that_no_part_ranks_is_wrong_and_says_nothing_of_the_weights(tmp_path: Path) -> None:
    tuned, svm = rows(TUNED, GOOD), rows("tfidf_svm", FAIR)
    new = [[replace(row, label="OMIM:new") if row.group == "PMID:3" else row for row in of] for of in (tuned, svm)]
    without = [[row for row in of if row.group != "PMID:3"] for of in (tuned, svm)]
    made = fused(tmp_path, *new)
    assert made.fusion.weights == fused(tmp_path / "without", *without).fusion.weights
    assert not any(row.correct for row in made.answers["validation"] if row.group == "PMID:3")


def test_the_order_of_lines_and_files_plays_no_part_and_a_second_time_gives_the_same(tmp_path: Path) -> None:
    systems = *both(TUNED, GOOD), *both("tfidf_svm", FAIR)
    _, paths = evaluated(tmp_path, *systems)
    mixed = [path for path in paths if "fused" in path.name]
    first = [path.read_bytes() for path in mixed]
    evaluated(tmp_path, *systems)
    assert [path.read_bytes() for path in mixed] == first
    turned = fusion.fuse_files(files(Run(tmp_path / "turned"), *(of[::-1] for of in systems[::-1])), TUNED)
    assert turned is not None
    assert turned.answers["test"][::-1] == read_predictions(Run(tmp_path).prediction_path("made_up", "test", "fused"))


def test_a_stranger_may_call_a_system_fused(tmp_path: Path) -> None:
    given = files(Run(tmp_path), rows("fused", GOOD), rows("peer", FAIR), rows("majority", RANDOM))
    scored = results.score(given, tmp_path / "results.json", 50)
    assert {(row.a, row.b) for row in scored.records[0].comparisons} == {("peer", "fused"), ("peer", "majority")}
    assert "mixture" not in report.write(tmp_path / "results.json", scored, given).read_text()


def test_results_that_fuse_what_they_do_not_hold_are_refused(tmp_path: Path) -> None:
    scored, _ = evaluated(tmp_path, *both(TUNED, GOOD), *both("tfidf_svm", FAIR))
    assert isinstance(scored.fused, Fusion)
    weights = {**scored.fused.weights, "encoder": 0.5}
    content = {**plain(scored), "fused": {**plain(scored.fused), "weights": weights}}
    with pytest.raises(InputError, match='fused is of "encoder", and "test" has no such system'):
        validated(Results, content, "results.json")


def test_systems_that_answered_other_cases_are_not_mixed(tmp_path: Path) -> None:
    given = files(Run(tmp_path), rows(TUNED, GOOD), rows("tfidf_svm", FAIR)[:-1])
    with pytest.raises(InputError, match="system 'tfidf_svm' has no prediction for case 'case-149'"):
        fusion.fuse(read_splits(given), TUNED)


def test_of_thousands_of_labels_only_those_that_some_part_ranks_in_the_case_are_answers(tmp_path: Path) -> None:
    def some(system: str, skill: float, n: int) -> list[Prediction]:
        """The first ``n`` of the labels, other ones from case to case."""
        return [
            replace(
                row,
                ranked=row.ranked[:n],
                probabilities=tuple((np.array(row.probabilities)[:n] / sum((row.probabilities or ())[:n])).tolist()),
            )
            for row in rows(system, skill)
        ]

    tuned, mixture = some(TUNED, GOOD, 4), some("ranker_mixture", FAIR, 8)
    made = fused(tmp_path, tuned, mixture)
    for answer, own, other in zip(made.answers["validation"], tuned, mixture, strict=True):
        assert set(answer.ranked) == {*own.ranked, *other.ranked}
        assert sum(answer.probabilities or ()) == pytest.approx(1)
    correct = [np.mean([row.correct for row in answers]) for answers in (made.answers["validation"], tuned, mixture)]
    assert correct[0] > max(correct[1:])
