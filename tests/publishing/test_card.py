"""The model card: what the Hub makes of its metadata, what a reader learns first, and that its code runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import published_run
import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from project import ROOT, environment, make, script
from published_run import LABELS, PARITY, TUNED, export, perturb, write_run

from osler.errors import InputError
from osler.evaluation import fusion, results
from osler.publishing import card
from osler.publishing.about import EXAMPLE, About
from osler.recipe.sections import BaseSection
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.reproduction import recording
from osler.runs.predictions import write_predictions
from osler.runs.run import Run
from osler.storage.files import read_json, write_json

if TYPE_CHECKING:  # transformers, torch
    from transformers import PreTrainedTokenizerBase

    from osler.tasks.prompt import Prompt

REPO = "user/tiny-card"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run written by hand, worse than its baseline."""
    return write_run(tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with a merged model."""
    return write_run(tmp_path_factory.mktemp("merged"), PARITY)


@pytest.fixture
def run(written: Run, tmp_path: Path) -> Run:
    """A copy to change."""
    return copied(written, tmp_path)


def copied(run: Run, folder: Path) -> Run:
    """A copy of a run and its project in ``folder``."""
    project = run.folder.parents[2]
    shutil.copytree(project, folder, dirs_exist_ok=True)
    return Run(folder / run.folder.relative_to(project))


def rendered(run: Run, about: dict[str, Any] | None = None, allowed: dict[str, str] | None = None) -> str:
    return card.render(run, REPO, "1.0.0", about or {}, allowed or {})


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next of its level."""
    level = re.search(rf"^(#+) {title}$", text, flags=re.MULTILINE)
    assert level, title
    below = text[level.end() :]
    following = re.search(rf"^#{{1,{len(level[1])}}} ", below, flags=re.MULTILINE)
    return below[: following.start()] if following else below


def opening(text: str) -> str:
    """What a reader in a hurry sees."""
    return text[text.index("\n# ") : text.index("\n## ")]


def test_the_card_says_what_the_mixture_is_and_that_it_is_worse(run: Run) -> None:
    """Fitted on simulated patients, whom the model knows, it trusts the model too much on real ones."""
    files = list(run.scored_predictions(run.read_results()))
    for split in ("test", "simulated", "validation"):
        write_predictions(
            run.prediction_path("made_up", split, "tfidf_svm"), published_run.predictions("tfidf_svm", split, 0.9)
        )
    fused, mixed = fusion.write(run, run.recipe(), files)
    old = run.read_results().records[0]
    results.score(
        [*files, *mixed], run.results_path(), 50, compared=TUNED, prompt_sha256=old.prompt_sha256, fused=fused
    )
    text = rendered(run)
    assert "`log p(fused) = " in text
    assert "mixture of model and baselines (fused) |" in opening(text)
    assert "| fused | mixture of model and baselines |" in text
    assert "* fused is below tfidf_svm\n" in section(text, "test")
    assert "best baseline: SVM on words" in opening(text), "the mixture is no baseline"
    limitations = section(text, "Limitations")
    assert "On test it is worse than tfidf_svm" in limitations.replace("\\", "")
    assert "fused" not in limitations


# ── metadata ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hub_reads_base_licence_library_and_tags(written: Run) -> None:
    data = ModelCard(rendered(written)).data
    assert data.base_model == "org/base-model"
    assert data["base_model_relation"] == "adapter"
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert data.pipeline_tag == "text-generation"
    assert data.language == ["en"]
    assert {"medical", "osler", "lora", "qlora", "base_model:adapter:org/base-model"} <= set(data.tags)
    assert data.datasets is None, "a simulated task has no dataset on the Hub"


def test_every_metric_is_in_the_model_index_with_interval_method_and_revision(written: Run) -> None:
    data = ModelCard(rendered(written)).data
    indexed = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    expected = {
        (record["split"], name): metric
        for record in read_json(written.results_path())["records"]
        for name, metric in record["systems"][TUNED]["metrics"].items()
    }
    assert indexed.keys() == expected.keys()
    assert data.model_name == TUNED
    for place, metric in expected.items():
        result = indexed[place]
        assert result.metric_value == pytest.approx(metric["value"], abs=1e-6)
        assert result.metric_args["low"] == pytest.approx(metric["low"], abs=1e-6)
        assert result.metric_args["high"] == pytest.approx(metric["high"], abs=1e-6)
        assert result.metric_args["method"] == metric["method"]
        assert result.dataset_revision == f"pypi:hpo==1/phenotype.hpoa#sha256={'1' * 64}"
        assert result.dataset_args["n"] == 40
        assert result.source_url == f"https://huggingface.co/{REPO}/blob/v1.0.0/results.json"


def test_the_metadata_round_trips_through_the_hubs_library(written: Run) -> None:
    text = rendered(written)
    assert ModelCard(text).content == text


def test_a_base_in_a_local_folder_is_not_called_a_model_of_the_hub(run: Run) -> None:
    (run.folder / "model").mkdir()
    (run.folder / "model" / "config.json").write_text("{}")
    rebase(run, model=str(run.folder / "model"), revision=None, weights=None)
    data = ModelCard(rendered(run)).data
    assert data.base_model is None
    assert "base_model_relation" not in data
    assert not [tag for tag in data.tags if tag.startswith("base_model")]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("license: apache-2.0", "license: apache-2", "did you mean apache-2.0?"),
        ("license: apache-2.0", "license: hpo", "license: .hpo. is not known to the Hub"),
        ("license: apache-2.0", "license: other", "license_name and license_link"),
        ("license: apache-2.0", "licence: apache-2.0", "did you mean license?"),
        ("license: apache-2.0\n", "", "license: missing"),
        ("pipeline_tag: text-generation", "pipeline_tag: text-generaton", "did you mean text-generation?"),
        ("base_model: org/base-model", "base_model: /home/me/base", "base_model: "),
        ("base_model_relation: adapter", "base_model_relation: adaptor", "did you mean adapter?"),
        ("- en", "- english", "ISO 639"),
        ("- medical", "- 1", "quote it"),
        ("    - type: accuracy", "    - typ: accuracy", "model_index"),
        ("model-index:\n", "model-index: [\n", "metadata: "),
        ("---\n", "", "metadata between two lines"),
    ],
)
def test_metadata_the_hub_would_refuse_is_refused_before(written: Run, was: str, becomes: str, said: str) -> None:
    text = rendered(written)
    card.check(text)
    assert was in text
    with pytest.raises(InputError, match=said):
        card.check(text.replace(was, becomes, 1))


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_in_a_hurry_learns_the_number_the_baseline_and_that_it_is_no_medical_device(written: Run) -> None:
    first = opening(rendered(written))
    accuracy = read_json(written.results_path())["records"][0]["systems"][TUNED]["metrics"]["accuracy"]
    assert "**Not a medical device.**" in first
    assert f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in first
    assert "best baseline: SVM on words (tfidf_svm)" in first
    assert "Worse than SVM on words (tfidf_svm)" in first, "a baseline it does not beat is not hidden"
    assert re.search(r"\| chance: guessing among \d+ labels \| 0\.\d{3} \|", first)


def test_a_reader_is_told_what_the_columns_say(written: Run) -> None:
    assert "*MRR*, mean reciprocal rank: a case counts 1 where" in section(rendered(written), "Results")


def test_what_was_let_pass_stands_before_the_code_with_its_reason(written: Run) -> None:
    text = rendered(written, allowed={"contamination": "the splits share authors | on purpose"})
    assert text.index("Published although checks failed") < text.index("## How to use it")
    assert "| contamination | the splits share authors \\| on purpose |" in text
    assert "although checks failed" not in rendered(written)


def test_a_field_nobody_filled_in_says_so_and_one_filled_in_is_shown(written: Run) -> None:
    text, about = rendered(written), {"contact": "me@example.org", "target_population": "nobody in particular"}
    assert "| contact | *Not stated yet.* |" in text
    assert "**Patients it is meant for**: *Not stated yet.*" in text
    filled = rendered(written, about)
    assert "| contact | me@example.org |" in filled
    assert "**Patients it is meant for**: nobody in particular" in filled


def test_every_system_of_every_split_is_in_the_results_with_interval_and_p_value(written: Run) -> None:
    results = section(rendered(written), "Results")
    for split in ("test", "simulated", "validation"):
        below = section(results, split)
        for system in (TUNED, "tfidf_svm", "majority"):
            assert re.search(rf"^\| {re.escape(system)} \| \d\.\d{{3}} \[", below, flags=re.MULTILINE)
        assert re.search(r"minus tfidf_svm: .*McNemar p .*Holm p ", below)


def test_limitations_are_written_from_the_worst_subgroup_and_the_most_confused_pairs(written: Run) -> None:
    limits, system = (
        section(rendered(written), "Limitations"),
        read_json(written.results_path())["records"][0]["systems"][TUNED],
    )
    sex = system["subgroups"]["sex"]
    worst = sex["values"][sex["worst"]]
    assert f"sex: worst for {sex['worst']} (n = {worst['n']}), accuracy {worst['accuracy']['value']:.3f}" in limits
    assert f"gap {sex['gap']['value']:+.3f}" in limits
    assert "[bias.md](bias.md)" in limits
    counts: dict[tuple[str, str], int] = {}
    for line in written.prediction_path("made_up", "test", TUNED).read_text().splitlines():
        row = json.loads(line)
        pair = row["label"], row["ranked"][0]
        counts[pair] = counts.get(pair, 0) + (pair[0] != pair[1])
    (label, answer), n = min(counts.items(), key=lambda item: (-item[1], item[0]))
    assert f"most often it takes {LABELS[label]} ({label}) for {LABELS[answer]} ({answer}) ({n} of 10 cases)" in limits


def test_simulated_patients_are_held_against_real_ones(written: Run) -> None:
    limits = section(rendered(written), "Limitations")
    assert re.search(
        r"On simulated patients \(simulated\) its accuracy is 0\.9\d* \[.* on real ones \(test\) 0\.", limits
    )


def test_overlap_with_the_training_data_is_told_for_every_split(written: Run) -> None:
    overlap = section(rendered(written), "Overlap with the training data")
    assert "| test | 40 | 0 | 7 | 0 | – | known \\| so |" in overlap
    assert "| simulated | 40 | not measured |" in overlap


def test_without_the_predictions_nothing_is_made_up_about_confusions(run: Run) -> None:
    run.prediction_path("made_up", "test", TUNED).unlink()
    assert "What it takes for what is not known" in rendered(run)


def test_weights_that_are_not_the_hubs_are_named(run: Run) -> None:
    said = "not bit for bit the weights of `org/base-model`"
    assert said in rendered(run)
    rebase(run, weights=None)
    assert said not in rendered(run)


def rebase(run: Run, scorer: str = "label_trie", **base: Any) -> None:
    """Change the section ``base`` of a run's recipe, and what it is scored with."""
    path = run.folder / "recipe.yaml"
    content = read_yaml(path)
    evaluation = {**content["evaluation"], "scorer": scorer}
    path.write_text(dump_yaml({**content, "base": {**content["base"], **base}, "evaluation": evaluation}))


def test_the_merged_model_is_shown_beside_the_adapter_where_it_was_evaluated(written: Run, merged: Run) -> None:
    assert "Not evaluated: nobody ran" in section(rendered(written), "The merged model")
    assert "merged" not in "".join(card.snippets(rendered(written)))
    text = rendered(merged)
    assert "39 whole rankings the same, probabilities at most 3.1e-05 apart; the bound is 0.001: **holds**" in text
    assert "the same, merged" in opening(text)
    assert len(card.snippets(text)) == 2
    assert "f" * 64 in text, "the fingerprint of the merged weights"


def test_a_merged_model_outside_the_bound_is_not_hidden(merged: Run, tmp_path: Path) -> None:
    run = copied(merged, tmp_path)
    results = read_json(run.results_path())
    for record in results["records"]:
        record["parity"]["holds"] = False
    write_json(run.results_path(), results)
    text = rendered(run)
    assert "**does NOT hold**" in text
    assert "NOT within the bound" in section(text, "Limitations")


def test_energy_is_computed_or_unknown_and_the_card_says_which(run: Run) -> None:
    assert "**not measured**" in section(rendered(run), "Environmental cost")
    stated = section(rendered(run, {"power_watts": 50}), "Environmental cost")
    assert "0.05 kWh: 60.0 minutes of training × 50 W" in stated
    assert "computed, not measured" in stated


def test_other_runs_of_the_recipe_stand_beside_the_headline(run: Run) -> None:
    assert "By how much, nobody has measured." in section(rendered(run), "Limitations")
    recorded = recording.record([run], run.folder.parents[2] / "recipes" / "tiny.yaml")
    content = read_json(recorded)
    (first,) = content["runs"]
    content["runs"] = [
        {**first, "seed": seed, "values": {**first["values"], "test": {"accuracy": 0.2 + 0.1 * seed}}}
        for seed in (0, 1, 2)
    ]
    write_json(run.folder / "expected.json", content)
    assert "Over 3 recorded runs of this recipe (3 seeds) its accuracy on test is 0.300 on average, from 0.200" in (
        opening(rendered(run))
    )
    write_json(run.folder / "expected.json", {**content, "recipe_sha256": "0" * 64})
    assert "recorded runs" not in rendered(run)


def test_a_card_without_a_baseline_says_why_nothing_stands_beside_the_model(run: Run) -> None:
    content = read_json(run.results_path())
    for record in content["records"]:
        alone = {name: {TUNED: record[name][TUNED]} for name in ("systems", "predictions_sha256")}
        record |= {**alone, "comparisons": []}
    write_json(run.results_path(), content)
    text = rendered(run)
    assert "**It was compared with nothing: no baseline was evaluated.**" in opening(text)
    assert "No baseline was evaluated" in section(text, "Results")
    assert "| system | called |" not in text


def test_calibration_is_shown_as_far_as_there_is_one(run: Run) -> None:
    results = read_json(run.results_path())
    shown = section(rendered(run), "Calibration")
    assert "after temperature" in shown
    assert re.search(r"The temperature was fitted on 40 cases of `validation`\.", shown)
    calibration = results["records"][0]["systems"][TUNED]["calibration"]
    for name in ("after", "temperature", "fitted_on", "abstention"):
        del calibration[name]
    write_json(run.results_path(), results)
    shown = section(rendered(run), "Calibration")
    assert "| ece |" in shown
    assert "No temperature was fitted: the recipe evaluates no `validation` split." in shown
    results["records"][0]["systems"][TUNED]["calibration"] = {}
    write_json(run.results_path(), results)
    assert "It gives no probabilities, or not with" in section(rendered(run), "Calibration")


def test_faithfulness_is_shown_where_it_was_measured_and_refused_of_another_model(run: Run) -> None:
    assert "### Explanations" not in rendered(run)
    share = {"value": 0.3, "low": 0.2, "high": 0.4, "method": "bootstrap_bca"}
    curves = {"deletion": share, "insertion": share, "deletion_curve": [0.5, 0.1], "insertion_curve": [0.1, 0.5]}
    compared = {"a": "ablation", "b": "random", "curve": "deletion", "difference": -0.1, "low": -0.2, "high": 0.0}
    compared |= {"interval_method": "percentile", "better": 9, "worse": 1, "p_value": 0.02, "p_adjusted": 0.04}
    agreement = {"n": 10, "spearman": share, "same_first_unit": share}
    measured = {
        "schema": 1,
        "task": "made_up",
        "split": "validation",
        "system": "x",
        "weights_sha256": run.read_manifest().adapter_sha256,
        "n": 10,
        "left_out": {},
        "first": None,
        "most_units": 8,
        "mean_units": 4.0,
        "random_orders": 5,
        "steps": None,
        "seed": 0,
        "resamples": 50,
        "methods": {"ablation": curves, "random": curves},
        "comparisons": [compared | {"method": "sign_test_exact"}],
        "agreement": None,
        "paraphrased": {"kind": "phrases", "cases": 10, "same_answer": share, "agreement": agreement},
    }
    path = run.explanation_path("validation")
    path.write_text(json.dumps(measured))
    shown = section(rendered(run), "Explanations")
    assert "on 10 cases of `validation`" in shown
    assert "| ablation | 0.300 [0.200, 0.400] | p = 0.040 |" in shown
    assert "the order by ablation is the same to 0.300" in shown
    path.write_text(json.dumps(measured | {"weights_sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"explanation\.json: not of the model"):
        rendered(run)


def test_robustness_is_shown_where_it_was_measured(run: Run) -> None:
    assert "Not evaluated: nobody ran `scripts/evaluate.py RUN --robustness`." in section(rendered(run), "Robustness")
    perturb(run)
    text = rendered(run)
    assert "| typos, 10% (n = 40) |" in section(text, "Robustness")
    assert "most of all typos, 10% (n = 40): the first answer is another one in 0.500" in section(text, "Limitations")


def test_exports_are_shown_where_there_are_some(run: Run) -> None:
    assert "### Exports" not in rendered(run)
    export(run)
    shown = section(rendered(run), "Exports")
    assert re.search(
        r"\| gguf-q8_0 \| test \| 0\.290 .*\| -0\.010 .*\| 0\.950 .*\| 0\.021 \(0\.4\) \| 145 MB \|", shown
    )
    content = read_json(run.exports_file())
    write_json(run.exports_file(), {**content, "weights_sha256": "9" * 64})
    with pytest.raises(InputError, match=r"exports\.json: not of the model of manifest\.json"):
        rendered(run)


def test_how_to_reproduce_names_the_three_commands_of_this_version(written: Run) -> None:
    for depth in ("scores", "predictions", "training"):
        assert f"python scripts/reproduce.py {REPO}@v1.0.0 --{depth}" in rendered(written)


def test_no_path_of_the_authors_machine_is_in_the_card(written: Run) -> None:
    assert "/home/me" not in rendered(written)
    assert str(written.folder.parents[2]) not in rendered(written)


def test_the_same_run_gives_the_same_bytes_in_another_process(run: Run) -> None:
    perturb(run)
    code = (
        "import sys, pathlib; from osler.publishing import card; from osler.runs.run import Run;"
        "run = Run(pathlib.Path(sys.argv[1]));"
        f"sys.stdout.write(card.render(run, {REPO!r}, '1.0.0', {{}}, {{}}));"
        "print({path: hash_(png) for path, png in card.figures(run).items()}, 'torch' in sys.modules)"
    ).replace("hash_(png)", "__import__('hashlib').sha256(png).hexdigest()")
    outputs = []
    for seed in ("1", "2"):
        variables = {**environment(run.folder), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(run.folder)], env=variables, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].endswith("False\n"), "no torch"


def test_every_figure_is_in_the_card_and_every_image_of_the_card_is_a_figure(written: Run) -> None:
    pictures = card.figures(written)
    assert set(re.findall(r"!\[[^\]]*\]\(([^)]*)\)", rendered(written))) == set(pictures)
    assert set(pictures) == {f"figures/test-{name}.png" for name in ("accuracy", "reliability", "subgroups")}
    for png in pictures.values():
        assert png.startswith(b"\x89PNG")
        assert b"matplotlib" not in png


@pytest.mark.parametrize("name", ["manifest.json", "results.json", "data_report.json"])
def test_a_missing_file_is_named(run: Run, name: str) -> None:
    (run.folder / name).unlink()
    with pytest.raises(InputError, match=name):
        rendered(run)


def test_predictions_and_prompts_other_than_those_scored_are_refused(run: Run) -> None:
    path = run.prediction_path("made_up", "test", TUNED)
    text = path.read_text()
    path.write_text(text.replace("case-000", "case-999"))
    with pytest.raises(InputError, match="not the predictions that results"):
        rendered(run)
    path.write_text(text)
    (run.folder.parents[2] / "tasks" / "made_up" / "prompt.jinja").write_text("{{ text }} What is it?")
    with pytest.raises(InputError, match=r"prompt.jinja: not the prompt that was trained with"):
        rendered(run)


# ── about.yaml ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contakt: me", "contakt: unknown key; did you mean contact?"),
        ("power_watts: a lot", "power_watts: .* expected a finite number"),
        ("power_watts: 0", "power_watts: 0 is out of range"),
        ("publications: one", "publications: .* a list of text"),
        ("publications: []", "publications: says nothing"),
        ("funding: '  '", "funding: says nothing"),
        ("contact: me@example.org", "contact: names an example's address"),
        ('contact: "\\ud800"', "half a character"),
        ("license_link: javascript:alert(1)", "license_link: .* is no address"),
        ("", "the file is empty"),
    ],
)
def test_what_about_yaml_may_not_say_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "about.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        card.read_about(path)


def test_the_example_of_about_yaml_has_every_key_and_states_nothing_that_only_its_author_knows(tmp_path: Path) -> None:
    example = ROOT / "docs" / "about.yaml"
    keys = {key.name for key in fields(About)}
    of_its_patients = {"target_population", "biases", "input_data_source", "patient_consent", "example", "stakeholders"}
    assert not card.read_about(example).keys() & {"developer", "contact", "license_name", *of_its_patients}
    (tmp_path / "all.yaml").write_text(re.sub(r"^# (\w+: )", r"\1", example.read_text(), flags=re.MULTILINE))
    assert read_yaml(tmp_path / "all.yaml").keys() == keys


MARKUP = ["<script>alert(1)</script>", "[look](javascript:alert(1))", "fine\n\n## Results\n\nFDA cleared"]


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_in_anybodys_text_is_shown_and_not_obeyed(run: Run, markup: str) -> None:
    about = {"contact": markup, "biases": markup, "intended_use": markup, "publications": [markup]}
    task = run.folder.parents[2] / "tasks" / "made_up" / "task.yaml"
    content = read_yaml(task)
    task.write_text(dump_yaml({**content, "splits": {**content["splits"], "test": markup}, "license": markup}))
    report = read_json(run.data_report_path)
    names = {label: f"{number}{markup}" for number, label in enumerate(LABELS)}
    dropped, provenance = {markup: 3}, {"source": markup}
    write_json(run.data_report_path, {**report, "labels": names, "dropped": dropped, "provenance": provenance})
    path = run.results_path()
    subgroups = markup.replace("\n", "\\n")
    path.write_text(path.read_text().replace('"age_band"', f'"{subgroups}"').replace('"female"', f'"{subgroups}"'))
    plain, spoilt = (MarkdownIt("commonmark").enable("table").parse(t) for t in (rendered(run), rendered(run, about)))
    for tokens in (plain, spoilt):
        inline = [token for block in tokens for token in block.children or ()]
        assert not [token for token in (*tokens, *inline) if token.type.startswith("html")]
        assert not [token for token in inline if str(token.attrs.get("href")).startswith("javascript")]
        headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
        assert headings.count("Results") == 1
    assert sum("alert(1)" in token.content or "FDA" in token.content for token in spoilt if token.content) > 6


def test_about_yaml_gives_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "about.yaml"
    path.write_text("contact: me\npublications: [A paper]\npower_watts: 65\nfunding: null\n")
    assert card.read_about(path) == {"contact": "me", "publications": ["A paper"], "power_watts": 65}
    assert card.read_about(None) == {}


# ── the code in the card, run ────────────────────────────────────────────────────────────────────────────────────────


RELUCTANT = (  # no system turn, contents in parts, and a channel to answer in
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}{{ '<|im_start|>final' if m.role == 'assistant' else '' }}\n"
    "{% for part in m.content %}{{ part.text }}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)


@pytest.mark.parametrize("quantization", [None, "nf4"])
@pytest.mark.parametrize(
    ("system", "template", "scorer", "chat_template"),
    [
        ("", "{{ text }}\nDiagnosis?", "label_trie", None),
        (None, "Findings: {{ text }}\n'Diagnosis' of {{ text }}?\n", "label_likelihood", None),
        ("Name one.", "{{ text }}\nDiagnosis?", "label_trie", RELUCTANT),
    ],
)
def test_the_code_gives_the_probabilities_that_were_published(
    merged: Run,
    tmp_path: Path,
    tiny_base: BaseSection,
    quantization: str | None,
    system: str | None,
    template: str,
    scorer: str,
    chat_template: str | None,
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from osler.models import loading
    from osler.scoring.labels import LabelScorer
    from osler.tasks.prompt import Prompt

    base = replace(tiny_base, quantization=quantization)
    adapter = get_peft_model(loading.load_base(base), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    published = tmp_path / "published"
    adapter.save_pretrained(published)
    tokenizer = loading.load_tokenizer(base)
    tokenizer.chat_template = chat_template or tokenizer.chat_template
    tokenizer.save_pretrained(published)
    # Any other model will do: what matters is which of the two is loaded.
    other = loading.load_base(tiny_base)
    with torch.no_grad():
        other.get_input_embeddings().weight.mul_(1.5)
    other.save_pretrained(published / "merged")

    run = copied(merged, tmp_path)
    rebase(run, model=tiny_base.model, revision=None, weights=None, quantization=quantization, scorer=scorer)
    shutil.copy(run.data_report_path, published)
    labels = read_json(run.data_report_path)["labels"]
    prompt = Prompt(template, system)
    text = rendered_with_prompt(run, tokenizer, prompt)
    texts = card.snippets(text)
    assert len(texts) == 2
    for code, loaded in zip(texts, (other, adapter), strict=True):
        assert "osler" not in code
        found = executed(code, published)
        expected = LabelScorer(loaded.eval(), tokenizer, prompt, labels, normalised=scorer == "label_trie")
        assert found["asked"] == prompt.encode(tokenizer, EXAMPLE)
        (answer,) = expected.answer([found["asked"]], [])
        order = found["probabilities"].argsort(descending=True).tolist()
        assert [found["names"][n] for n in order] == [labels[label] for label in answer.ranked]
        assert found["probabilities"][order].tolist() == pytest.approx(answer.probabilities, abs=1e-5)


def executed(code: str, published: Path) -> dict[str, Any]:
    """What a card's code leaves behind, run on a folder instead of a repository."""
    fetched = code.replace(f'hf_hub_download({json.dumps(REPO)}, "', f'str("{published}/').replace(
        ', revision="v1.0.0")\nnames', ")\nnames"
    )
    assert fetched != code
    found: dict[str, Any] = {}
    exec(fetched.replace(json.dumps(REPO), json.dumps(str(published))), found)
    return found


def rendered_with_prompt(run: Run, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The card of a run whose task asks in another way."""
    folder = run.folder.parents[2] / "tasks" / "made_up"
    (folder / "prompt.jinja").write_text(prompt.template)
    written = (folder / "task.yaml").read_text()
    assert "system: ''" in written
    (folder / "task.yaml").write_text(written.replace("system: ''", f"system: {json.dumps(prompt.system)}"))
    conversation = prompt.conversation(tokenizer)
    how = {name: getattr(conversation, name) for name in ("own_system_turn", "content_parts", "opening")}
    changed = {"prompt_sha256": prompt.sha256, "conversation": how}
    write_json(run.manifest_path, {**read_json(run.manifest_path), **changed})
    return rendered(run)


def test_a_run_made_by_the_scripts_has_a_card_the_hub_takes(tmp_path: Path, tiny_base: BaseSection) -> None:
    train, evaluation = {"max_steps": 2, "save_strategy": "no"}, {"baselines": ["majority"]}
    path = make(tmp_path, tiny_base, train=train, evaluation=evaluation)
    run = Run(tmp_path / "runs" / "tiny-made-up" / "1.0.0")
    for name, argument in (("train", path), ("evaluate", run.folder)):
        done = script(tmp_path, name, argument)
        assert done.returncode == 0, done.stderr
    text = rendered(run)
    card.check(text)
    assert ModelCard(text).data.datasets == ["osler/made-up"]
    assert ModelCard(text).data.eval_results[0].dataset_revision == "0" * 40
    # As published: the adapter at the root, the task beside the recipe.
    published = tmp_path / "elsewhere" / "published"
    shutil.copytree(run.folder, published)
    shutil.copytree(tmp_path / "tasks", published / "tasks")
    assert rendered(Run(published)) == text
    (code,) = card.snippets(text)
    shutil.copy(run.data_report_path, published / "adapter")
    found = executed(code, published / "adapter")
    assert found["probabilities"].sum().item() == pytest.approx(1)
