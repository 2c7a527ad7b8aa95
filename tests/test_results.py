"""Prediction files become numbers with intervals, comparisons and tables, without a model."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osler import results
from osler.errors import InputError
from osler.prediction_file import Prediction, read_predictions, write_predictions

LABELS = [f"OMIM:{number}" for number in range(8)]
LLM, SVM, FREE_TEXT = "smollm2-135m-rare-disease-qlora@1.0.0", "tfidf_svm", "peer@main"


def predictions(system: str, skill: float, n: int = 60, split: str = "test", seed: int = 1) -> list[Prediction]:
    """``n`` cases over eight labels; the right label comes first in ``skill`` of them, else anywhere after."""
    draw = random.Random(f"{system} {split} {seed}")
    rows = []
    for case in range(n):
        label = LABELS[case % len(LABELS)]
        others = draw.sample([other for other in LABELS if other != label], k=7)
        place = 0 if draw.random() < skill else draw.randint(1, 7)
        ranked = (*others[:place], label, *others[place:])
        sex = "female" if case % 3 else "male"
        rows.append(
            Prediction(f"case-{case:03d}", "rare_disease", split, system, label, ranked, subgroups={"sex": sex})
        )
    return rows


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three systems on a test split, the first also on a validation split; the last one writes text, parsed in part."""
    folder = tmp_path_factory.mktemp("predictions")
    write_predictions(folder / "llm.jsonl", [*predictions(LLM, 0.9), *predictions(LLM, 0.8, n=40, split="validation")])
    write_predictions(folder / "svm.jsonl", predictions(SVM, 0.6)[::-1])
    write_predictions(
        folder / "peer.jsonl",
        [
            replace(row, ranked=row.ranked[:1], text=row.ranked[0])
            if case % 10
            else replace(row, ranked=(), text="I cannot say.", parsed=False)
            for case, row in enumerate(predictions(FREE_TEXT, 0.7))
        ],
    )
    return [folder / name for name in ("llm.jsonl", "svm.jsonl", "peer.jsonl")]


@pytest.fixture(scope="module")
def scored(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results.score(files, tmp_path_factory.mktemp("results") / "results.json", resamples=500, seed=0)


def test_there_is_one_record_a_task_and_split(scored: dict[str, Any]) -> None:
    assert [(record["task"], record["split"], record["n"]) for record in scored["records"]] == [
        ("rare_disease", "test", 60),
        ("rare_disease", "validation", 40),
    ]
    assert list(scored["records"][0]["systems"]) == [LLM, SVM, FREE_TEXT]
    assert list(scored["records"][1]["systems"]) == [LLM]
    assert scored["records"][1]["comparisons"] == []


def test_every_number_has_an_interval_and_the_method_that_gave_it(files: list[Path], scored: dict[str, Any]) -> None:
    metrics = scored["records"][0]["systems"][LLM]["metrics"]
    methods = {name: metric["method"] for name, metric in metrics.items()}
    wilson, bootstrap = "wilson", "bootstrap_percentile"
    assert methods == {
        "accuracy": wilson,
        "balanced_accuracy": bootstrap,
        "macro_f1": bootstrap,
        "weighted_f1": bootstrap,
        "precision": bootstrap,
        "recall": bootstrap,
        "mrr": bootstrap,
        "top_3_accuracy": wilson,
        "top_5_accuracy": wilson,
        "parse_rate": wilson,
    }
    assert all(
        metric["low"] < metric["value"] < metric["high"] for name, metric in metrics.items() if metric["value"] < 1
    )
    rows = [row for row in read_predictions(files[0]) if row.split == "test"]
    assert metrics["accuracy"]["value"] == sum(row.correct for row in rows) / 60
    assert metrics["mrr"]["value"] == pytest.approx(sum(1 / (row.ranked.index(row.label) + 1) for row in rows) / 60)


def test_what_could_not_be_parsed_is_wrong_and_a_rate(files: list[Path], scored: dict[str, Any]) -> None:
    metrics = scored["records"][0]["systems"][FREE_TEXT]["metrics"]
    assert metrics["parse_rate"]["value"] == 0.9
    assert metrics["accuracy"]["value"] == sum(row.correct for row in read_predictions(files[2])) / 60


def test_a_system_without_a_ranking_has_no_ranking_metrics(scored: dict[str, Any]) -> None:
    metrics = scored["records"][0]["systems"][FREE_TEXT]["metrics"]
    assert not {"mrr", "top_3_accuracy", "top_5_accuracy"} & metrics.keys()


def test_a_ranking_of_three_has_no_top_5(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.jsonl", [replace(row, ranked=row.ranked[:3]) for row in predictions(SVM, 0.5)])
    record = results.score([tmp_path / "p.jsonl"], tmp_path / "results.json", resamples=20)["records"][0]
    assert "top_3_accuracy" in record["systems"][SVM]["metrics"]
    assert "top_5_accuracy" not in record["systems"][SVM]["metrics"]


def test_subgroups_have_their_own_accuracy_and_size(files: list[Path], scored: dict[str, Any]) -> None:
    sex = scored["records"][0]["systems"][SVM]["subgroups"]["sex"]
    assert {value: group["n"] for value, group in sex.items()} == {"female": 40, "male": 20}
    women = [row.correct for row in read_predictions(files[1]) if row.subgroups["sex"] == "female"]
    assert sex["female"]["accuracy"]["value"] == sum(women) / 40


def test_the_first_system_is_compared_with_every_other(scored: dict[str, Any]) -> None:
    record = scored["records"][0]
    assert [(row["a"], row["b"]) for row in record["comparisons"]] == [(LLM, SVM), (LLM, FREE_TEXT)]
    for row in record["comparisons"]:
        accuracy = {name: system["metrics"]["accuracy"]["value"] for name, system in record["systems"].items()}
        assert row["difference"] == pytest.approx(accuracy[row["a"]] - accuracy[row["b"]])
        assert row["low"] < row["difference"] < row["high"]
        assert 0 < row["p_value"] <= row["p_adjusted"] <= 1
        assert (row["metric"], row["method"]) == ("accuracy", "mcnemar_exact")


def test_another_system_can_be_named_for_the_comparison(files: list[Path], tmp_path: Path) -> None:
    compared = results.score(files[1:], tmp_path / "results.json", resamples=20, compared=FREE_TEXT)
    assert [(row["a"], row["b"]) for row in compared["records"][0]["comparisons"]] == [(FREE_TEXT, SVM)]
    with pytest.raises(InputError, match="no predictions of system 'llm'; there are tfidf_svm, peer@main"):
        results.score(files[1:], tmp_path / "results.json", resamples=20, compared="llm")


def test_the_same_predictions_give_the_same_bytes_whatever_their_order(files: list[Path], tmp_path: Path) -> None:
    first, second, other = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "3.json"
    written = results.score(files[1:2], first, resamples=100, seed=0)
    assert json.loads(first.read_text()) == written
    shuffled = tmp_path / "shuffled.jsonl"
    write_predictions(shuffled, random.Random(0).sample(read_predictions(files[1]), k=60))
    results.score([shuffled], second, resamples=100, seed=0)
    results.score(files[1:2], other, resamples=100, seed=1)
    sha256 = written["records"][0]["predictions_sha256"][SVM]
    again = json.loads(second.read_text())
    assert again["records"][0]["predictions_sha256"].pop(SVM) != sha256
    assert written["records"][0]["predictions_sha256"].pop(SVM) == sha256
    assert again == written
    assert first.read_bytes() != other.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda rows: rows[:7] + rows[8:],
            "system 'tfidf_svm' has no prediction for case 'case-007' (1 missing in all)",
        ),
        (lambda rows: [*rows, replace(rows[0], case_id="new")], f"system '{LLM}' has no prediction for case 'new'"),
        (
            lambda rows: [replace(rows[0], label="OMIM:5"), *rows[1:]],
            "the label of case 'case-000' is 'OMIM:0' for 'smollm2-135m-rare-disease-qlora@1.0.0' and 'OMIM:5'",
        ),
        (lambda rows: [replace(row, system=LLM) for row in rows], f"system '{LLM}' (rare_disease, test) is in "),
    ],
)
def test_systems_that_did_not_answer_the_same_cases_are_refused(
    files: list[Path], tmp_path: Path, spoil: Callable[[list[Prediction]], list[Prediction]], complaint: str
) -> None:
    write_predictions(tmp_path / "spoilt.jsonl", spoil(predictions(SVM, 0.6)))
    with pytest.raises(InputError) as refused:
        results.score([files[0], tmp_path / "spoilt.jsonl"], tmp_path / "results.json", resamples=20)
    assert complaint in str(refused.value)
    assert not (tmp_path / "results.json").exists()


def test_a_metric_is_added_by_adding_its_file(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (results.METRICS / "mrr" / "mrr.py").read_text()
    (tmp_path / "metrics" / "rank_score").mkdir(parents=True)
    (tmp_path / "metrics" / "rank_score" / "rank_score.py").write_text(
        source.replace("class MRR", "class RankScore").replace('"mrr"', '"rank_score"')
    )
    usual = results.score([files[1]], tmp_path / "usual.json", resamples=100)["records"][0]["systems"][SVM]["metrics"]
    monkeypatch.setattr(results, "METRICS", tmp_path / "metrics")
    added = results.score([files[1]], tmp_path / "added.json", resamples=100)["records"][0]["systems"][SVM]["metrics"]
    # It has no vectorised form and is recomputed on every resample: the same resamples, so the same interval.
    assert added["rank_score"] == pytest.approx(usual["mrr"])


def test_the_table_fits_110_columns_and_shows_what_was_found(scored: dict[str, Any]) -> None:
    table = results.render_table(scored)
    assert max(len(line) for line in table.splitlines()) <= 110
    for name in (LLM, SVM, FREE_TEXT):
        accuracy = scored["records"][0]["systems"][name]["metrics"]["accuracy"]
        row = next(line for line in table.splitlines() if line.startswith(name[:17]) and line.split()[-1] == "60")
        assert f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in row
    assert "peer@main: 10.0% of the answers could not be parsed and count as wrong" in table
    assert table.count("McNemar p") == 2
    assert table.index("rare_disease, test") < table.index("rare_disease, validation")


def test_long_names_still_fit(scored: dict[str, Any]) -> None:
    record = json.loads(json.dumps(scored["records"][0]))
    long = "a-laboratory/with-a-very-long-name-for-its-fine-tuned-language-model"
    record["systems"] = {f"{long}@{number}": system for number, system in enumerate(record["systems"].values())}
    for row in record["comparisons"]:
        row["a"], row["b"] = f"{long}@0", f"{long}@1"
    lines = results.render_table({"records": [record]}).splitlines()
    assert max(len(line) for line in lines) <= 110
    assert sum("@2" in line for line in lines) == 2


def test_the_markdown_has_an_interval_for_every_number(scored: dict[str, Any]) -> None:
    lines = results.markdown_table(scored).splitlines()
    row = next(line for line in lines if line.startswith(f"| {SVM} |"))
    assert row.count("[") == 6
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_scoring_needs_no_torch_and_works_from_a_script_called_evaluate(files: list[Path], tmp_path: Path) -> None:
    """``python scripts/evaluate.py`` puts scripts/ first on the path, where the script hides the library evaluate."""
    (tmp_path / "evaluate.py").write_text(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "from pathlib import Path\n"
        "find_spec = PathFinder.find_spec\n"
        "PathFinder.find_spec = staticmethod(lambda name, *rest: None if name == 'torch' else find_spec(name, *rest))\n"
        "from osler import results\n"
        "results.score([Path(sys.argv[1])], Path(sys.argv[2]), resamples=20, seed=0)\n"
        "assert 'torch' not in sys.modules\n"
    )
    source = Path(results.__file__).parents[1]
    subprocess.run(
        [sys.executable, tmp_path / "evaluate.py", files[1], tmp_path / "results.json"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert json.loads((tmp_path / "results.json").read_text())["records"][0]["n"] == 60
