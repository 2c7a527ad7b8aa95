"""One page that shows what was found: to a reviewer, offline, on paper, on a telephone."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import finished
import numpy as np
import pytest
from PIL import Image
from project import environment

from osler.errors import InputError
from osler.evaluation import confusions, report, results, robustness, section, summary
from osler.runs.data_report import Contamination
from osler.runs.predictions import Prediction, write_predictions
from osler.runs.results import Results
from osler.storage.contracts import validated
from osler.tasks.case import Case
from osler.tasks.perturbation import Perturbation

LABELS = [f"OMIM:{number}" for number in range(6)]
NAMES = {label: f"Syndrome {number}, type A" for number, label in enumerate(LABELS)}
TUNED, BASELINE, PLAIN = "tiny@1.0.0", "encoder", "tfidf_svm"
DESCRIPTIONS = {"test": "invented patients", "simulated": "patients like those trained on"}
REFERRED = "a general practitioner in a rural district"  # too long for one line of a figure
SHOWN = {BASELINE: "sentence encoder", PLAIN: "SVM on words"}


def predictions(
    system: str, skill: float, n: int = 60, split: str = "test", probabilities: bool = True
) -> list[Prediction]:
    """``n`` cases over six labels; the right label comes first in about ``skill`` of them."""
    draw = random.Random(f"{system} {split}")
    rows = []
    for case in range(n):
        label = LABELS[case % 6]
        others = draw.sample([other for other in LABELS if other != label], k=5)
        ranked = (label, *others) if draw.random() < skill else (others[0], label, *others[1:])
        weights = sorted((draw.random() ** 3 for _ in ranked), reverse=True)
        rows.append(
            Prediction(
                f"case-{case:03d}",
                "rare_disease",
                split,
                system,
                label,
                ranked,
                tuple(weight / sum(weights) for weight in weights) if probabilities else None,
                subgroups={
                    "sex": ("male", "female", "female")[case % 3],
                    "age_band": "0-4" if case < 4 else "18-64",
                    "referred_by": REFERRED,
                },
            )
        )
    return rows


def evaluated(
    folder: Path, *systems: Sequence[Prediction], contamination: Contamination | None = None
) -> tuple[Results, list[Path]]:
    """Prediction files of ``systems`` in ``folder``, and the results."""
    files = []
    for rows in systems:
        files.append(folder / f"{len(files)}.jsonl")
        write_predictions(files[-1], rows)
    return results.score(files, folder / "results.json", resamples=50, contamination=contamination), files


def page(folder: Path, *systems: Sequence[Prediction], **given: Any) -> str:
    """The report on ``systems``."""
    scored, files = evaluated(folder, *systems)
    return report.write(folder / "results.json", scored, files, **given).read_text()


def words(page: str) -> str:
    """What a reader sees of a page, one space between words."""
    seen = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(seen).split())


def write_reports(folder: Path, records: list[dict[str, Any]]) -> None:
    """The data report and the robustness of a run."""
    report = {**finished.data_report("ab" * 32, folder), "task": "rare_disease", "panel": "small", "labels": NAMES}
    (folder / "data_report.json").write_text(json.dumps(report))
    content = {"schema": 1, "task": "rare_disease", "split": "test", "records": {TUNED: records}}
    (folder / "robustness.json").write_text(
        json.dumps({**content, "predictions_sha256": {TUNED: {"original": "0" * 64}}})
    )


def write_training(folder: Path) -> None:
    """The manifest and the log of a training that kept its second evaluation of three."""
    base = SimpleNamespace(model="a/b", revision=None)
    recipe: Any = SimpleNamespace(name="tiny", version="1.0.0", sha256="0" * 64, run_sha256="0" * 64, base=base)
    manifest = finished.manifest(recipe, "ab" * 32, "1" * 64)
    selected = {"metric": "log_loss", "step": 2000, "value": 1.204}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "selected": selected}))
    lines: list[dict[str, Any]] = [{"step": 50 * n, "loss": 3 / n} for n in range(1, 61)]
    lines += [{"step": step, "eval_log_loss": value} for step, value in ((1000, 1.9), (2000, 1.204), (3000, 1.31))]
    lines.sort(key=lambda line: int(line["step"]))
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: three systems on two splits and a validation split, a data report, robustness."""
    folder: Path = tmp_path_factory.mktemp("run")
    splits = {"test": 60, "simulated": 90, "validation": 90}
    tuned = [row for split, n in splits.items() for row in predictions(TUNED, 0.7, n, split)]
    shares = {"cases": 3, "share": 0.05, "worst": []}
    measures = dict.fromkeys(("exact", "normalised", "near"), shares)
    overlap = {
        **finished.OVERLAP,
        "splits": {
            "test": {**measures, "n": 60, "ngrams": {**shares, "mean": 0.1, "measured": 60}, "publications": None}
        },
        "allowed": {"test": "they are the same on purpose"},
    }
    scored, files = evaluated(
        folder,
        tuned,
        [row for split, n in splits.items() for row in predictions(BASELINE, 0.4, n, split)],
        [row for split, n in splits.items() for row in predictions(PLAIN, 0.65, n, split, probabilities=False)],
        contamination=validated(Contamination, overlap, "overlap"),
    )
    original = [row for row in tuned if row.split == "test"]
    flipped = [replace(row, ranked=row.ranked[::-1], probabilities=None) for row in original[:40]]
    records = robustness.robustness(
        original, {Perturbation("typos", 0.1): flipped, Perturbation("sex_swap", 1): []}, resamples=50
    )
    write_reports(folder, records)
    write_training(folder)
    texts = {"test": {row.case_id: f"The patient of {row.case_id}." for row in original}}
    report.write(folder / "results.json", scored, files, texts, descriptions=DESCRIPTIONS)
    return folder


def test_every_comparison_of_the_headline_is_shown_as_it_is_in_the_results(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    record = json.loads((folder / "results.json").read_text())["records"][0]
    accuracy = record["systems"][TUNED]["metrics"]["accuracy"]
    assert f"Top-1 accuracy {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in shown
    assert len(record["comparisons"]) == 2
    for row in record["comparisons"]:
        of = record["systems"][row["b"]]["metrics"]["accuracy"]
        p = [f"{row[name]:.3f}" if row[name] >= 0.001 else "< 0.001" for name in ("p_adjusted", "p_value")]
        assert (
            f"{SHOWN[row['b']]} {of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"
            f" {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            f" {p[0]} unadjusted {p[1]} {row['minimum_detectable_difference']:.3f}"
        ) in shown
    assert f"Better than {SHOWN[BASELINE]} ." in shown
    assert f"No difference is shown to {SHOWN[PLAIN]} ;" in shown


def test_it_opens_with_what_was_asked_of_whose_cases_and_what_guessing_comes_to(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    asked = "for each case, name the right one of 6 labels, such as Syndrome 0, type A."
    assert f"The task, rare_disease , panel small: {asked} The cases of test , invented patients: 60 cases" in shown
    assert f"the first answer of {TUNED} is right. Guessing among 6 labels comes to 0.167." in shown
    assert "Patients like those trained on: 90 cases" in shown


def test_what_the_columns_say_is_explained_and_chance_stands_below_the_systems(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    for said in (
        "balanced the same",
        "top-3 the share",
        "MRR mean reciprocal rank:",
        "AUROC area",
        "ECE expected cali",
    ):
        assert said in shown
    # 1/6, 1/6, 3/6, 5/6, the mean of 1, 1/2 … 1/6, a half; a calibration error has no chance level
    assert "chance: guessing among 6 labels 0.167 0.167 0.500 0.833 0.408 0.500 –" in shown
    places = np.random.default_rng(0).permuted(np.tile(np.arange(1, 7), (20000, 1)), axis=1)[:, 0]  # of the right one
    expected = summary.guessing(6)
    assert (places == 1).mean() == pytest.approx(expected["accuracy"], abs=0.01)
    assert (places <= 3).mean() == pytest.approx(expected["top_3_accuracy"], abs=0.01)
    assert (1 / places).mean() == pytest.approx(expected["mrr"], abs=0.01)


def test_chance_is_not_made_up_where_nobody_knows_how_many_answers_there_are(tmp_path: Path) -> None:
    rows = predictions(TUNED, 0.7)
    best_three = [replace(row, ranked=row.ranked[:3], probabilities=(0.5, 0.3, 0.2)) for row in rows]
    assert "guessing among" not in words(page(tmp_path, best_three)).lower()


def test_the_systems_of_a_run_have_names_that_people_read(tmp_path: Path) -> None:
    tuned = predictions(TUNED, 0.7)
    merged = [replace(row, system=f"{TUNED}-merged") for row in tuned]
    scored, files = evaluated(tmp_path, tuned, merged, predictions(BASELINE, 0.2), predictions("gpt_5@high", 0.2))
    scored = scored.model_copy(update={"weights_sha256": {TUNED: "ab" * 32, f"{TUNED}-merged": "cd" * 32}})
    shown = words(report.write(tmp_path / "results.json", scored, files).read_text())
    assert "Accuracy of the fine-tuned model minus that of every other system" in shown
    assert "Better than sentence encoder and gpt_5@high ." in shown, "what it does not know keeps its name"
    assert f"fine-tuned model, merged the same, its adapter merged into the weights of its base {TUNED}-merged" in shown


def test_every_label_has_its_sensitivity_and_predictive_value(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    rows = predictions(TUNED, 0.7)
    for label in LABELS:
        right = sum(row.label == label == row.answer for row in rows)
        answered = sum(row.answer == label for row in rows)
        interval = r"\[0\.\d+, [01]\.\d+\]"
        sensitivity, predictive_value = (
            f"{right} of 10 {right / 10:.3f}",
            f"{right} of {answered} {right / answered:.3f}",
        )
        assert re.search(f"{label} {sensitivity} {interval} {predictive_value} {interval}", shown), label


def test_every_metric_of_every_split_is_on_the_page(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    records = json.loads((folder / "results.json").read_text())["records"]
    assert len(records) == 3
    for record in records:
        for system in record["systems"].values():
            for name, metric in system["metrics"].items():
                assert name.replace("_", " ") in shown
                assert f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in shown


def test_calibration_subgroups_robustness_and_contamination_are_shown(folder: Path) -> None:
    shown = words((folder / "report.html").read_text())
    record = json.loads((folder / "results.json").read_text())["records"][0]["systems"][TUNED]
    for found in (record["calibration"]["before"], record["calibration"]["after"], record["calibration"]["abstention"]):
        for metric in (found.get("ece"), found.get("coverage"), found.get("accuracy")):
            assert metric is None or f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in shown
    sex = record["subgroups"]["sex"]
    assert f"sex {sex['worst']} {sex['best']} {sex['gap']['value']:.3f}" in shown
    assert f"The widest gap is by sex : {sex['worst']} is served worst" in shown
    assert "Fewer than 10 cases, so no accuracy is given: age band 0-4 (n = 4)." in shown
    assert "typos, 10% (n = 40)" in shown
    assert "sex swap (n = 0) – – – –" in shown
    assert "test 60 3 (5.0%) 3 (5.0%) 3 (5.0%) 3 (5.0%) –" in shown
    assert "allowed by the recipe: they are the same on purpose" in shown
    assert "not a medical device" in shown


def test_each_figure_says_what_it_shows(folder: Path) -> None:
    figures = re.findall(r"<svg[^>]*>(.*?)</svg>", (folder / "report.html").read_text(), re.DOTALL)
    # Accuracies; reliability, coverage, subgroups of each split; robustness; the training.
    assert len(figures) == 1 + 3 * 3 + 1 + 1
    for svg in figures:
        title = re.match(r'<title id="([^"]*)">([^<]+)</title><desc id="[^"]*">[^<]+</desc>', svg)
        assert title
        assert "<text" in svg, "text is text"
    ids = re.findall(r' id="([^"]*)"', (folder / "report.html").read_text())
    assert len(ids) == len(set(ids)), "an id would point into another figure"


def test_the_page_needs_nothing_from_outside_and_runs_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert not re.search(r"https?:|<script|<link|<iframe|<img|@import|\bsrc=|\bon\w+=", text)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', text))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    ids = set(re.findall(r' id="([^"]*)"', text))
    pointed_at = re.findall(r'(?:href="|url\()#([^")]*)', text)
    assert pointed_at
    assert ids.issuperset(pointed_at)


def test_it_is_written_again_from_the_files_alone_to_the_same_bytes_without_torch(folder: Path) -> None:
    before = (folder / "report.html").read_bytes()
    texts = {"test": {f"case-{case:03d}": f"The patient of case-{case:03d}." for case in range(60)}}
    files = "sorted(folder.glob('[0-9].jsonl'))"
    code = (
        "import sys; from pathlib import Path; from osler.evaluation import report; from osler.runs import Run\n"
        "folder = Path(sys.argv[1]); results = Run(folder).read_results()\n"
        f"report.write(folder / 'results.json', results, {files}, {texts!r}, None, {DESCRIPTIONS!r})\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    (folder / "report.html").unlink()
    variables = {**environment(folder), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").read_bytes() == before


def test_the_curves_of_training_are_shown_with_the_step_that_was_kept(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    shown = text.split('<section id="training">')[1].split("</section>")[0]
    assert (
        "Training loss at each logged step, and log loss on validation at each evaluation. The model is that of step"
        " 2,000, the best by log loss: 1.204." in words(shown)
    )
    assert "training loss: 3.000 at step 50, 0.050 at step 3,000" in shown
    assert "validation log loss: 1.900 at step 1,000, 1.310 at step 3,000; kept: step 2,000" in shown


def test_a_report_for_elsewhere_has_no_single_case(folder: Path) -> None:
    files = sorted(folder.glob("[0-9].jsonl"))
    output = folder / "results.json"
    text = report.page(output, validated(Results, json.loads(output.read_text()), ""), files, browsed=0)
    assert 'id="cases"' not in text
    assert "#cases" not in text
    assert "case-0" not in text
    assert 'id="training"' in text


def test_the_cases_are_the_most_confident_errors_first(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    shown = re.findall(r'<details class="case".*?</details>', text, re.DOTALL)
    rows = predictions(TUNED, 0.7)
    wrong = sorted((row for row in rows if not row.correct), key=lambda row: -row.probabilities[0])
    assert len(shown) == 20
    assert 10 < len(wrong) < 20, "some of the twenty are right ones"
    for case, row in zip(shown, wrong, strict=False):
        seen = words(case)
        assert seen.startswith(f"wrong, {row.probabilities[0]:.2f} sure: {NAMES[row.answer]} , but it is")
        assert f"The patient of {row.case_id}." in seen
        assert "ranked 2 of 6" in seen
        assert case.count("<li>") == 5
        assert f"{NAMES[row.label]} {row.label} : {row.probabilities[1]:.3f} ✓" in seen
        assert f"sex: {row.subgroups['sex']}" in seen
    assert all(words(case).startswith("right, ") for case in shown[len(wrong) :])


def test_names_and_texts_cannot_run_or_break_anything(tmp_path: Path) -> None:
    hostile = ['<script>alert("1")</script>', "</svg></style>--><img src=x onerror=alert(2)>", "$\\frac{", "{{ 7*7 }}"]
    swap = dict(zip(LABELS, [*hostile, "疾患", "a" * 500], strict=True))
    systems = []
    for system in ("<b>tuned", BASELINE):
        rows = predictions(system, 0.3)
        systems.append(
            [
                replace(
                    row,
                    case_id=f"<i>{row.case_id}",
                    label=swap[row.label],
                    ranked=tuple(swap[label] for label in row.ranked),
                    text=hostile[0],
                    subgroups={hostile[0]: hostile[1] if number % 2 else hostile[2]},
                )
                for number, row in enumerate(rows)
            ]
        )
    texts = {"test": {row.case_id: hostile[1] for row in systems[0]}}
    text = page(tmp_path, *systems, texts=texts)
    assert not re.search(r"<script|<img|<b>tuned|<i>case", text)
    shown = words(text)
    assert all(name in shown for name in hostile), "escaped, not left out; and {{ 7*7 }} is not worked out"
    assert text.count("<svg") == text.count("</svg>")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (predictions(TUNED, 1.0, n=1), "1 case, each taken as independent"),
        (predictions(TUNED, 0.0), "wrong, "),
        (predictions(TUNED, 1.0), "Every answer is right: nothing is confused."),
        (predictions(TUNED, 0.7, probabilities=False), f"No reliability diagram: {TUNED} gives no probabilities."),
        ([replace(row, subgroups={}) for row in predictions(TUNED, 0.7)], "The predictions name no subgroups."),
        ([replace(row, ranked=(row.label,), probabilities=(1.0,)) for row in predictions(TUNED, 0.7)], "nothing is"),
        (
            [replace(row, ranked=(), probabilities=None, parsed=False, text="?") for row in predictions(TUNED, 0.7)],
            "could not be parsed and count as wrong",
        ),
        ([replace(row, label=LABELS[0]) for row in predictions(TUNED, 0.7)], "of 60 cases of test"),
        (
            [replace(row, group=f"PMID:{n % 2}") for n, row in enumerate(predictions(TUNED, 0.7))],
            "2 independent groups",
        ),
        (predictions(TUNED, 0.7, split="validation"), "Temperatures and thresholds were chosen on this split"),
    ],
    ids=[
        "n=1",
        "all wrong",
        "all right",
        "no probabilities",
        "no subgroups",
        "one label ranked",
        "unparsed",
        "one label",
        "too few groups",
        "validation alone",
    ],
)
def test_extremes_are_shown_and_what_is_absent_is_said(rows: list[Prediction], said: str, tmp_path: Path) -> None:
    other = [replace(row, system=PLAIN) for row in rows]
    shown = words(page(tmp_path, rows, other))
    assert said in shown
    assert "No perturbed cases were scored; scripts/evaluate.py RUN --robustness scores some." in shown
    assert "No contamination report" in shown
    assert "The case's text is not at hand" in shown
    assert "Which patients these are, prediction files do not say" in shown


def test_a_system_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    shown = words(page(tmp_path, predictions(TUNED, 0.7)))
    assert "No other system answered these cases" in shown
    assert "no temperature and no abstention threshold" in shown


def test_a_merged_model_is_beside_the_one_with_the_adapter(tmp_path: Path) -> None:
    tuned = predictions(TUNED, 0.7)
    scored, files = evaluated(tmp_path, [replace(row, system=f"{TUNED}-merged") for row in tuned], tuned)
    seen = words(report.write(tmp_path / "results.json", scored, files).read_text())
    assert seen.startswith(f"{TUNED} on rare_disease: evaluation"), "not the merged model, though its file comes first"
    assert "Merged: same first answer in 60 of 60, ranking in 60; probabilities within 0.0e+00 (bound 0.001)." in seen


def test_the_page_opens_with_the_test_split_wherever_it_stands(tmp_path: Path) -> None:
    rows = [*predictions(TUNED, 0.7, split="phenopackets"), *predictions(TUNED, 0.7)]
    assert "The cases of test : 60 cases" in words(page(tmp_path, rows))


def test_a_benchmark_does_not_borrow_what_was_found_of_the_task_the_run_was_trained_on(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("data_report.json", "robustness.json"):
        shutil.copy(folder / name, tmp_path)
    shown = words(page(tmp_path, [replace(row, task="medqa") for row in predictions(TUNED, 0.7)]))
    assert "Cases of the task trained on alone are perturbed: see the report of that task." in shown
    assert "Syndrome" not in shown
    assert "No contamination report" in shown


def test_a_large_panel_has_a_small_confusion_matrix() -> None:
    draw = random.Random(0)
    panel = [f"disease {number}" for number in range(183)]
    pairs = [(draw.choice(panel), draw.choice(panel)) for _ in range(5000)] + [("disease 7", "disease 9")] * 50
    rows = [Prediction(f"{n}", "t", "test", TUNED, label, (answer,)) for n, (label, answer) in enumerate(pairs)]
    found = confusions.count_confusions(rows)
    assert len(found.pairs) == 10
    assert found.pairs[0][:2] == ("disease 7", "disease 9")
    assert found.pairs[0][2] == pairs.count(("disease 7", "disease 9"))
    assert len(found.labels) <= 8
    assert [sum(row) for row in found.matrix] == [sum(label == of for of, _ in pairs) for label in found.labels]


def test_among_many_labels_it_is_shown_how_far_down_the_list_the_right_one_stands(tmp_path: Path) -> None:
    many = {f"OMIM:{number}": f"Syndrome {number}" for number in range(section.MANY)}
    rows = predictions(TUNED, 0.7)
    written = page(tmp_path, rows, predictions(PLAIN, 0.5), labels=many)
    first = sum(row.ranked[0] == row.label for row in rows) / len(rows)
    assert f"all cases 60 {first:.3f} 1.000 1.000" in words(written), "of six that it ranks, the right one is second"
    women = [row.correct for row in rows if row.subgroups["sex"] == "female"]
    assert f"sex: female 40 {sum(women) / 40:.3f}" in words(written)
    assert "age band: 0-4" not in words(written), "four cases say nothing"
    assert re.search(rf"<desc[^>]*>[^<]*{TUNED}: 1 → {first:.3f}", written)
    (tmp_path / "few").mkdir()
    assert "How far down the list" not in page(tmp_path / "few", rows, labels=NAMES)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Geleophysic dysplasia 1", "Geleophysic dysplasia 2", True),
        ("Retinitis pigmentosa", "Retinitis pigmentosa 3, X-linked", True),
        ("Mucopolysaccharidosis, type IIIA", "Mucopolysaccharidosis IVB", True),
        ("Marfan syndrome", "Marfanoid habitus", False),
        ("3-methylglutaconic aciduria", "17-beta hydroxysteroid deficiency", False),
        ("3-Methylcrotonyl-CoA carboxylase 1 deficiency", "3-Methylcrotonyl-CoA carboxylase 2 deficiency", True),
        ("Factor V excess with spontaneous thrombosis", "Factor VIII deficiency", False),
        ("Chromosome 16p12.1 deletion syndrome", "Chromosome 8q22.1 duplication syndrome", False),
        ("Lipodystrophy, familial partial, type 2", "Lipodystrophy, congenital generalized, type 5", False),
    ],
)
def test_subtypes_are_told_by_their_names(one: str, other: str, same: bool) -> None:
    assert confusions.same_but_for_subtype(one, other) == same


def test_an_error_within_a_gene_is_told_apart_where_genes_are_known() -> None:
    answers = {"a": ("a",), "b": ("c", "b"), "c": ("a", "c"), "d": ("a",)}
    rows = [Prediction(label, "t", "test", TUNED, label, ranked) for label, ranked in answers.items()]
    names = {"a": "Marfan syndrome", "b": "Stickler syndrome", "c": "Kniest dysplasia", "d": "Stiff skin syndrome"}
    genes = {"a": ["FBN1"], "b": ["COL2A1", "COL11A1"], "c": ["COL2A1"], "d": ["FBN1"]}
    assert confusions.count_errors(rows, names, genes) == {
        "right": 1,
        "another subtype": 0,
        "another disease of the same gene": 2,
        "another disease": 1,
        "not in the ranking": 0,
    }
    assert confusions.count_errors(rows, names) == {
        "right": 1,
        "another subtype": 0,
        "another disease": 2,
        "not in the ranking": 1,
    }


def test_confusions_are_counted_by_label_and_answer() -> None:
    pairs = [("a", "b"), ("a", "b"), ("b", "a"), ("a", "a"), ("b", "c"), ("c", "c")]
    rows = [Prediction(f"{n}", "t", "test", TUNED, label, (answer,)) for n, (label, answer) in enumerate(pairs)]
    unparsed = Prediction("last", "t", "test", TUNED, "c", (), parsed=False)
    found = confusions.count_confusions([*rows, unparsed])
    assert found.pairs == [("a", "b", 2, 3), ("b", "a", 1, 2), ("b", "c", 1, 2), ("c", "", 1, 2)]
    assert found.labels == ["a", "b", "c"]
    assert found.matrix == [[1, 2, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]]


def test_cases_of_one_confidence_are_answered_together() -> None:
    confidences = np.array([0.9] * 8 + [0.8] * 6 + [0.1] * 6)
    correct = np.array([True] * 8 + [True, False] * 3 + [False] * 6)
    shares, accuracies = section.selective_curve(confidences, correct)
    assert shares.tolist() == [14 / 20, 1.0], "eight answers are too few to begin with"
    assert accuracies.tolist() == [11 / 14, 11 / 20]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("results.json", "report.html"),
        ("results-partial.json", "report-partial.html"),
        ("results-medqa.json", "report-medqa.html"),
        ("peer.json", "peer.html"),
        ("resultsofpeer.json", "resultsofpeer.html"),
    ],
)
def test_the_report_stands_beside_the_results(output: str, expected: str, tmp_path: Path) -> None:
    assert report.report_path(tmp_path / output) == tmp_path / expected


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("a.jsonl", "results are JSON; name a file that ends in .json"),
        ("report.html", "results are JSON; name a file that ends in .json"),
        ("a.json", "a.json would overwrite .*a.json, which it is made from"),
        ("link.json", "link.json would overwrite .*a.json, which it is made from"),
        ("b.json", "b.html would overwrite .*b.html, which it is made from"),
        ("data_report.json", "data_report.json would overwrite .*data_report.json"),
        ("folder.json", r"is a folder; name a file in it, such as .*folder.json/results.json"),
        ("a.json/results.json", "a.json is not a folder"),
    ],
)
def test_results_that_would_overwrite_what_they_are_made_from_or_cannot_be_written_are_refused(
    tmp_path: Path, output: str, complaint: str
) -> None:
    files = [tmp_path / name for name in ("a.json", "b.html", "a.jsonl")]
    for file in (*files, tmp_path / "data_report.json"):
        file.write_text("what is in it")
    (tmp_path / "link.json").symlink_to("a.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match=complaint):
        report.check_output(tmp_path / output, files)
    report.check_output(tmp_path / "new" / "results.json", files)


def test_a_questions_options_are_shown_below_it() -> None:
    class Questions:
        def split(self, name: str) -> list[Case]:
            return [Case(name, "Which?", "A", options={"A": "this", "B": "that"})]

    assert report.case_texts(Questions(), ["test"]) == {"test": {"test": "Which?\nA. this\nB. that"}}  # type: ignore[arg-type]


PROBE = """
<script>
document.querySelectorAll("details").forEach(element => element.open = true);
const wide = [...document.querySelectorAll("body *")].filter(element =>
  element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".scroll, svg"));
const cut = [...document.querySelectorAll("svg")].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(text => {
    const at = text.getBoundingClientRect();
    return at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1;
  });
});
const scale = ({a, b}) => Math.hypot(a, b);
const size = text => parseFloat(getComputedStyle(text).fontSize) * scale(text.getScreenCTM());
const overlapping = [...document.querySelectorAll("svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([name, a], i) => texts.slice(i + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2
  ).map(([other]) => `${name} / ${other}`));
});
parent.document.body.dataset.probe = JSON.stringify({
  smallest: Math.min(...[...document.querySelectorAll("svg text")].map(size)), overlapping,
  width: innerWidth, content: document.documentElement.scrollWidth,
  wide: wide.map(element => element.outerHTML.slice(0, 80)), cut: cut.map(text => text.textContent),
  figures: [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().height > 50),
});
console.log("probed");
</script>
"""


def chromium(folder: Path, page: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Open ``page``; its file and the browser's are in ``folder``."""
    path = folder / "opened.html"
    path.write_text(page)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--hide-scrollbars", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_a_table_that_goes_on_beside_the_screen_is_seen_to(folder: Path, tmp_path: Path) -> None:
    style = re.search(r"<style>.*?</style>", (folder / "report.html").read_text(), re.DOTALL)
    assert style
    tables = "".join(f'<div class="scroll"><table><tr><td>{"number " * n}</table></div>' for n in (3, 300))
    chromium(tmp_path, style[0] + tables, "--window-size=500,200", f"--screenshot={tmp_path / 'seen.png'}")
    seen = np.asarray(Image.open(tmp_path / "seen.png").convert("L")).astype(int)
    edge, middle = seen[:, 481:484], seen[:, 300:484]  # the page ends 16 pixels before the window
    dark = np.flatnonzero(edge.max(axis=1) < 240)
    assert len(dark) > 10, "a shadow beside the wide table"
    assert (middle[: dark[0] - 4] == 255).all(), "none beside the narrow one"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_all_of_it_without_complaint_and_nothing_sticks_out(
    width: int, folder: Path, tmp_path: Path
) -> None:
    # In a frame: no window of Chromium's is narrower than 500 pixels.
    probed = html.escape((folder / "report.html").read_text().replace("</body>", f"{PROBE}</body>"))
    frame = f'<meta charset="utf-8"><iframe width={width} height=900 style="border: 0" srcdoc="{probed}">'
    done = chromium(tmp_path, frame, "--enable-logging=stderr", "--window-size=1400,900", "--dump-dom")
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(said) == 1, said
    assert "probed" in said[0]
    found = json.loads(html.unescape(re.search(r'data-probe="([^"]*)"', done.stdout).group(1)))  # type: ignore[union-attr]
    assert found["width"] == width
    assert found["content"] == width
    assert found["wide"] == []
    assert found["cut"] == []
    assert found["overlapping"] == []
    assert found["smallest"] >= 11, "pixels that letters in figures have"
    assert len(found["figures"]) == 12
    assert all(found["figures"])
