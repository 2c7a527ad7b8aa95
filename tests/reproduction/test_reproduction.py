"""What a stranger finds out about a published number without a model: it comes out again, or which file is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished import BASE, COMMIT, edit_json, edit_yaml, make_run, seal
from local_hub import LocalHub

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.reproduction import differences as difference
from osler.reproduction import outcome, recording, reproduction, target
from osler.reproduction.differences import Difference
from osler.reproduction.expected import Expected, read_expected
from osler.reproduction.outcome import Figure, Reproduction
from osler.reproduction.target import Target
from osler.runs import verification
from osler.runs.manifest import Manifest
from osler.runs.results import Record
from osler.runs.run import Run, merged_name, tuned_name
from osler.storage.contracts import plain, validated
from osler.storage.files import fingerprint, model_fingerprint, read_json
from osler.storage.hashes import sha256_file, sha256_text

TUNED, MERGED = "tiny-made-up@1.0.0", "tiny-made-up@1.0.0-merged"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run, recorded."""
    folder = tmp_path_factory.mktemp("project")
    run = make_run(folder)
    recording.record([run, *again(run, folder, (0.8, 0.85))], folder / "recipes" / "tiny.yaml")
    return folder


def again(run: Run, folder: Path, accuracies: tuple[float, ...]) -> list[Run]:
    """Runs of the same recipe and seed on other numbers of threads, with another accuracy each."""
    made = []
    for threads, accuracy in enumerate(accuracies, start=2):
        other = Run(folder / f"threads-{threads}")
        shutil.copytree(run.folder, other.folder)
        edit_json(other.manifest_path, threads=threads)
        content = read_json(other.results_path())
        content["records"][0]["systems"][TUNED]["metrics"]["accuracy"]["value"] = accuracy
        other.results_path().write_text(json.dumps(content))
        made.append(other)
    return made


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def published(project: Path) -> Run:
    """The run as it is on the Hub: the adapter at the root, the task's files and the expected file inside."""
    run = Run(project / "runs" / "tiny-made-up" / "1.0.0")
    for path in run.adapter_path.iterdir():
        path.rename(run.folder / path.name)
    (run.folder / "adapter").rmdir()
    shutil.copytree(project / "tasks", run.folder / "tasks")
    shutil.copy(project / "recipes" / "tiny.expected.json", run.folder / "expected.json")
    (run.folder / "README.md").write_text("# A card")
    seal(run.folder)
    return run


def scores(run: Run) -> Reproduction:
    return reproduction.scores(target.find(str(run.folder), "scores"))


def test_a_published_version_gives_its_numbers_bit_for_bit_wherever_it_lies(published: Run, tmp_path: Path) -> None:
    elsewhere = Run(published.folder.rename(tmp_path / "elsewhere"))
    made = scores(elsewhere)
    assert made.verdict == "reproduced", outcome.render(made)
    assert {figure.system for figure in made.figures} == {TUNED, MERGED, "majority"}
    assert all(figure.got == figure.expected for figure in made.figures)
    written = read_json(outcome.write(made, tmp_path / "out"))
    assert (written["depth"], written["verdict"]) == ("scores", "reproduced")
    assert written["recipe"]["sha256"] == elsewhere.recipe().sha256
    assert written["environment"]["python"]
    assert written["table"][0].keys() == {"split", "system", "metric", "expected", "tolerance", "got", "inside"}
    assert outcome.render(made).endswith("scores: reproduced: 15 figures, bit for bit"), outcome.render(made)


def flip(path: Path) -> None:
    """Exchange one byte that changes neither the length nor the syntax."""
    content = path.read_bytes()
    for old, new in ((b"0.7", b"0.6"), (b"F32", b"F16"), (b"messages", b"Messages"), (b"Diagnosis", b"diagnosis")):
        if old in content:
            path.write_bytes(content.replace(old, new, 1))
            return
    raise AssertionError(f"{path} has nothing to exchange")


def edited(**values: Any) -> Callable[[Path], None]:
    return lambda path: edit_yaml(path, **values) if path.suffix == ".yaml" else edit_json(path, **values)


def of_first_record(path: Path) -> None:
    content = read_json(path)
    content["records"][0]["systems"]["majority"]["metrics"]["mrr"]["low"] = 0.123
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(
    ("file", "tamper", "named"),
    [
        ("predictions/made_up-test-majority.jsonl", Path.unlink, "predictions/made_up-test-majority.jsonl"),
        (f"predictions/made_up-test-{TUNED}.jsonl", flip, f"predictions/made_up-test-{TUNED}.jsonl"),
        (
            "adapter_model.safetensors",
            flip,
            "adapter (weights, configuration, tokenizer or chat template) (sha256 in manifest.json)",
        ),
        (
            "results.json",
            edited(**{f"weights_sha256__{TUNED}": "0" * 64}),
            "adapter (weights, configuration, tokenizer or chat template) (sha256 in results.json)",
        ),
        (
            "adapter_config.json",
            edited(lora_alpha=8000),
            "adapter (weights, configuration, tokenizer or chat template) (sha256 in manifest.json)",
        ),
        (
            "merged/model.safetensors",
            flip,
            "merged (weights, configuration, tokenizer or chat template) (sha256 in results.json)",
        ),
        ("chat_template.jinja", flip, "chat_template.jinja (sha256 in manifest.json)"),
        ("manifest.json", edited(chat_template_sha256=None), "chat_template.jinja (sha256 in manifest.json)"),
        ("recipe.yaml", edited(train__learning_rate=0.5), "recipe.yaml (sha256 in manifest.json)"),
        ("recipe.yaml", edited(evaluation__resamples=60), "recipe.yaml (sha256 in expected.json)"),
        (
            "manifest.json",
            edited(adapter_sha256="0" * 64),
            "adapter (weights, configuration, tokenizer or chat template) (sha256 in manifest.json)",
        ),
        ("manifest.json", edited(rows_out=23), "data_report.json, rows_out (in manifest.json)"),
        ("data_report.json", edited(tokens__total=999), "data_report.json, tokens_a_pass (in manifest.json)"),
        (
            "data_report.json",
            edited(contamination__splits__test__n=23),
            "data_report.json, contamination of test",
        ),
        ("results.json", of_first_record, "results.json, records, 0, systems, majority, metrics, mrr, low"),
        ("tasks/made_up/prompt.jinja", flip, "tasks/made_up/prompt.jinja"),
        ("tasks/made_up/task.yaml", edited(system="Be brief."), "system: in task.yaml"),
        ("tasks/made_up/task.yaml", edited(source__revision="1" * 40), "tasks/made_up/task.yaml, revision"),
        ("expected.json", edited(tolerance__test__accuracy=0.9), "expected.json, tolerance"),
        (
            "expected.json",
            edited(splits__test__systems__majority__mrr__value=0.9),
            "expected.json, test, majority",
        ),
        ("README.md", lambda path: path.write_text("# Another"), "README.md (sha256 in SHA256SUMS)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tampered_file_is_named(published: Run, file: str, tamper: Callable[[Path], None], named: str) -> None:
    tamper(published.folder / file)
    if "SHA256SUMS" not in named:
        seal(published.folder)  # whoever tampers can do this, too
    made = scores(published)
    assert made.verdict == "differs"
    assert made.decisive is not None
    assert named in made.decisive.what
    assert str(made.decisive) in outcome.render(made).splitlines()[-1]


def listing(more: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / "SHA256SUMS").write_bytes((folder / "SHA256SUMS").read_bytes() + more)


def added(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text("{}")


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS: the sha256 of every file published, nothing he"),
        (added("modeling.py"), "modeling.py: nothing published, a file that SHA256SUMS does not list here"),
        (added("merged/modeling.py"), "merged/modeling.py: nothing published, a file that SHA256SUMS does not list"),
        (added(".gitattributes.py"), ".gitattributes.py: nothing published, a file that SHA256SUMS does not list"),
        (
            lambda folder: (folder / "more").symlink_to(folder.parent),
            "more: nothing published, a file that SHA256SUMS does not list here",
        ),
        (
            lambda folder: (folder / "gone").symlink_to("nowhere"),
            "gone: nothing published, a file that SHA256SUMS does not list here",
        ),
        (listing(b"\xff\xfe\n"), "\ufffd\ufffd (sha256 in SHA256SUMS): \ufffd\ufffd published, nothing here"),
        (listing(b"0" * 64 + b"  ../outside\n"), "../outside (sha256 in SHA256SUMS): 000000000000… published, nothing"),
        (
            listing(b"0" * 64 + b"  /etc/passwd\n"),
            "/etc/passwd (sha256 in SHA256SUMS): 000000000000… published, nothin",
        ),
        (
            lambda folder: (Path(os.fsdecode(bytes(folder) + b"/\xff"))).write_text(""),
            "\\udcff: nothing published, a file that SHA256SUMS does not list here",
        ),
    ],
)
def test_a_version_has_the_files_that_it_lists_and_no_others(
    published: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tamper: Callable[[Path], Any], said: str
) -> None:
    (published.folder.parent / "outside").write_text("secret")
    tamper(published.folder)
    opened: list[Path] = []

    def opening(path: Path) -> str:
        opened.append(path.resolve())
        return sha256_file(path)

    monkeypatch.setattr(verification, "sha256_file", opening)
    made = scores(published)
    assert str(made.decisive).startswith(said)
    assert opened
    assert all(path.is_relative_to(published.folder.resolve()) for path in opened)
    outcome.write(made, tmp_path / "out")


def test_what_a_download_adds_to_a_version_is_no_difference(published: Run) -> None:
    for name in (".gitattributes", ".cache/huggingface/download/README.md.metadata", ".git/config"):
        (published.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (published.folder / name).write_text("")
    assert scores(published).verdict == "reproduced"


def test_results_that_say_the_same_in_another_spacing_are_not_bit_identical(published: Run) -> None:
    published.results_path().write_text(json.dumps(read_json(published.results_path())))
    seal(published.folder)
    made = scores(published)
    assert made.decisive is not None
    assert made.decisive.what == "results.json, spacing, order or nulls"


def test_a_recipe_stands_for_its_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    found = target.find("recipes/tiny.yaml", "scores")
    assert found.run == Run(Path("runs/tiny-made-up/1.0.0"))
    assert reproduction.scores(found).verdict == "reproduced"
    assert target.find("recipes/tiny.yaml", "training").run is None, "nothing of it is needed"


def test_the_expected_file_of_a_run_is_that_of_the_very_same_recipe(project: Path) -> None:
    folder = project / "runs" / "tiny-made-up" / "1.0.0"
    shipped = project / "recipes" / "tiny.expected.json"
    assert target.find(str(folder), "training").expected_file == shipped
    edit_json(shipped, recipe_sha256="0" * 64)
    found = target.find(str(folder), "training")
    assert found.expected_file == folder / "expected.json"
    with pytest.raises(InputError, match=r"expected\.json: is not there, so .* counts as not run yet"):
        found.expected()


def test_what_cannot_be_reproduced_is_refused_in_a_line_that_says_the_way_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    run = project / "runs" / "tiny-made-up" / "1.0.0"
    with pytest.raises(InputError, match="no run directory, and no USER/NAME"):
        target.find("no such thing", "scores")
    with pytest.raises(InputError, match=r"recipes/tinny\.yaml: no such file; did you mean recipes/tiny\.yaml"):
        target.find("recipes/tinny.yaml", "scores")
    (run / "results.json").rename(run / "lost.json")
    with pytest.raises(InputError, match=r"results\.json: is not there.*run scripts/evaluate\.py"):
        reproduction.scores(target.find(str(run), "scores"))
    edit_yaml(project / "recipes" / "tiny.yaml", train__seed=7)
    with pytest.raises(InputError, match=r"a run of another recipe than recipes/tiny\.yaml is now"):
        target.find("recipes/tiny.yaml", "predictions")
    with pytest.raises(InputError, match=r"tiny\.yaml: changed since its results were recorded"):
        target.find("recipes/tiny.yaml", "training").expected()
    shutil.rmtree(run)
    with pytest.raises(InputError, match=r"--scores needs a run of it.*take --training, or name the repository"):
        target.find("recipes/tiny.yaml", "scores")


def test_a_run_is_not_reproduced_by_itself(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    folder = Path("runs/tiny-made-up/1.0.0")
    with pytest.raises(InputError, match="is the run that is to be reproduced"):
        reproduction.training(target.find(str(folder), "training"), folder.resolve())


def test_a_recipe_is_not_reproduced_by_the_run_that_was_recorded_nor_by_a_copy_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    folder = Path("runs/tiny-made-up/1.0.0")
    shutil.copytree(folder, "copy")
    for again in (folder, Path("copy")):
        for name in ("recipes/tiny.yaml", str(folder)):
            with pytest.raises(InputError, match=rf"^{again}: is the run that .*; name another folder with --output"):
                reproduction.training(target.find(name, "training"), again)


def differing(was: Manifest, now: Manifest) -> list[Difference]:
    """How a training differs from the published one, as ``training`` lists it."""
    return [
        *difference.other_circumstances(difference.circumstances(was), now.environment, now.threads),
        *difference.other_content(was.content, vars(now.content)),
        *difference.other_weights(was, now),
    ]


def test_the_first_thing_that_differs_comes_first(original: Path) -> None:
    was = Run(original / "runs" / "tiny-made-up" / "1.0.0").read_manifest()
    assert differing(was, was) == []
    now = plain(was)
    now["adapter_sha256"] = "a" * 64
    now["rows_out"], now["base"]["fingerprint"], now["threads"] = 23, "b" * 64, 2
    now["environment"]["python"], now["environment"]["packages"]["torch"] = "3.12.1", "2.14.0"
    found = differing(was, validated(Manifest, now, "manifest"))
    assert [of.what for of in found] == [
        "package torch",
        "python",
        "threads",
        "base model (fingerprint)",
        "data: rows out",
        "adapter weights",
    ]
    assert [of.content for of in found] == [False, False, False, True, True, False]
    assert str(found[3]) == "base model (fingerprint): 111111111111… published, bbbbbbbbbbbb… here"


@pytest.mark.parametrize(
    ("tolerance", "got", "inside"),
    [
        (0.1, 0.6, True),
        (0.1, 0.61, False),
        (0.0, 0.5 + 1e-13, True),
        (0.0, 0.5001, False),
        (None, 0.5, True),  # the very same number needs no tolerance
        (None, 0.5001, None),
        (0.1, None, None),
    ],
)
def test_a_figure_is_inside_its_tolerance_or_outside_or_nobody_can_say(
    tolerance: float | None, got: float | None, inside: bool | None
) -> None:
    assert Figure("test", TUNED, "accuracy", 0.5, tolerance, got).inside is inside


def made_of(*figures: Figure, differences: tuple[Difference, ...] = ()) -> str:
    recipe: Any = None
    anything = Target("x", recipe, None, Path("x"))
    return Reproduction(anything, "training", list(differences), list(figures)).verdict


def test_one_number_that_misses_decides_and_one_that_nobody_can_judge_leaves_it_open() -> None:
    inside, outside, open_ = (Figure("test", TUNED, "mrr", 0.5, t, 0.4) for t in (0.2, 0.05, None))
    assert made_of(inside) == "reproduced"
    assert made_of(inside, open_) == "undecided"
    assert made_of(inside, open_, outside) == "missed"
    assert made_of() == "undecided", "nothing was compared"
    assert made_of(inside, differences=(Difference("python", "3.11", "3.12", content=False),)) == "reproduced"
    assert made_of(inside, differences=(Difference("data: rows out", 24, 23),)) == "differs"


def test_trained_again_the_tuned_model_has_the_spread_and_a_classifier_has_none(original: Path) -> None:
    recipe = load_recipe(original / "recipes" / "tiny.yaml")
    content = read_json(original / "recipes" / "tiny.expected.json")
    metrics = content["splits"]["test"]["systems"]["majority"]
    content["splits"]["test"]["systems"]["base_model"] = metrics
    recorded = validated(Expected, content, "expected")
    (scored,) = read_json(original / "runs" / "tiny-made-up" / "1.0.0" / "results.json")["records"]
    scored["systems"]["base_model"] = {
        **scored["systems"]["majority"],
        "metrics": {**scored["systems"]["majority"]["metrics"], "accuracy": {**metrics["accuracy"], "value": 0.3}},
    }
    scored["predictions_sha256"]["base_model"] = "0" * 64
    got = validated(Record, scored, "record")
    figures, others = reproduction._trained_figures(recipe, recorded, {"test": got})
    of = {(figure.system, figure.metric): figure for figure in figures}
    accuracy = of[tuned_name(recipe), "accuracy"]
    assert accuracy.expected == pytest.approx((got.systems[TUNED].metrics["accuracy"].value + 0.8 + 0.85) / 3)
    assert recorded.tolerance is not None
    assert accuracy.tolerance == recorded.tolerance["test"]["accuracy"] > 0.1
    assert of[tuned_name(recipe), "mrr"].tolerance == 0.0417, "three runs agree, and the next may differ by one case"
    assert of[merged_name(recipe), "accuracy"].tolerance == accuracy.tolerance
    assert of["majority", "accuracy"].tolerance == 0.0
    assert [(other.what, other.content) for other in others] == [("base_model, test, accuracy", False)]
    assert not any(figure.system == "base_model" for figure in figures)


def without_tuned(path: Path) -> None:
    content = read_json(path)
    del content["splits"]["test"]["systems"][TUNED]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("of_run", [True, False], ids=["run", "recipe"])
@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (edited(tolerance__test__accuracy=0.9), "tiny.expected.json, tolerance"),
        (edited(splits={}), f"tiny.expected.json, test, {TUNED}, the first run"),
        (without_tuned, f"tiny.expected.json, test, {TUNED}, the first run"),
        (
            edited(splits__test__systems__majority__mrr__value=0.9),
            "tiny.expected.json, test, majority, mrr",
        ),
    ],
)
def test_an_expected_file_that_contradicts_itself_decides_nothing_at_any_depth(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    tamper: Callable[[Path], None],
    named: str,
    of_run: bool,
) -> None:
    monkeypatch.chdir(project)
    tamper(project / "recipes" / "tiny.expected.json")
    name = "runs/tiny-made-up/1.0.0" if of_run else "recipes/tiny.yaml"
    made = [reproduction.scores(target.find(name, "scores"))]
    if of_run or "majority" not in named:  # a recipe has nothing else that says what the baseline's figure was
        monkeypatch.setattr(reproduction, "_before_training", lambda _: {})
        monkeypatch.setattr(reproduction, "_call", lambda _: pytest.fail("it was trained"))
        made.append(reproduction.training(target.find(name, "training"), project / "again"))
    for of in made:
        assert (of.verdict, of.decisive and of.decisive.what) == ("differs", named)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tolerance__test__accuracy": float("nan")}, "NaN is no number of JSON"),
        ({"tolerance__test__accuracy": float("inf")}, "Infinity is no number of JSON"),
        ({"runs": None}, "runs: null is not allowed; expected a list"),
        ({"runs": []}, "there is no run in it"),
        ({"splits__test__n": 0}, "test, n: 0 is no number of cases"),
    ],
)
def test_an_expected_file_that_is_none_is_refused(project: Path, changed: dict[str, Any], said: str) -> None:
    path = project / "recipes" / "tiny.expected.json"
    edit_json(path, **changed)
    run = str(project / "runs" / "tiny-made-up" / "1.0.0")
    with pytest.raises(InputError, match=said):
        reproduction.scores(target.find(run, "scores"))
    with pytest.raises(InputError, match=said):
        reproduction.training(target.find(run, "training"), project / "again")
    with pytest.raises(InputError, match=rf"{path}: .*; bring back the one that was recorded, or record it anew"):
        read_expected(path)


def test_runs_that_do_not_have_the_same_figures_are_refused(project: Path) -> None:
    path = project / "recipes" / "tiny.expected.json"
    content = read_json(path)
    content["runs"][2]["values"] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="run 3 of 3 has figures of other splits or metrics than the first"):
        reproduction.scores(target.find(str(project / "runs" / "tiny-made-up" / "1.0.0"), "scores"))


def test_other_cases_than_those_of_the_expected_figures_are_named(original: Path) -> None:
    found = target.find(str(original / "recipes" / "tiny.yaml"), "training")
    (got,) = Run(original / "runs" / "tiny-made-up" / "1.0.0").read_results().records
    fewer = got.model_copy(update={"n": 3})
    _, others = reproduction._trained_figures(found.recipe, found.expected(), {"test": fewer})
    assert [str(other) for other in others] == ["test, cases: 24 published, 3 here"]


# ── a version on the Hub ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hub(published: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub with the published version; nothing else of the project is within reach."""
    with LocalHub.serve(tmp_path / "hub") as served:
        served.push("jane/tiny", files_of(published.folder), tag="v1.0.0")
        served.connect(monkeypatch)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        monkeypatch.delenv("OSLER_DATA_DIR", raising=False)
        yield served


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stranger_computes_the_scores_of_a_published_version_again(hub: LocalHub) -> None:
    found = target.find("jane/tiny@v1.0.0", "scores")
    assert (found.revision, found.commit) == ("v1.0.0", hub.repository("jane/tiny").tags["v1.0.0"])
    made = reproduction.scores(found)
    assert made.verdict == "reproduced", outcome.render(made)
    assert read_json(outcome.write(made, Path.cwd()))["commit"] == found.commit
    assert target.find("jane/tiny", "scores").revision == "main", "without a revision the newest"


def test_a_file_that_was_exchanged_on_the_hub_is_named(hub: LocalHub, published: Run) -> None:
    name = f"predictions/made_up-test-{TUNED}.jsonl"
    flip(published.folder / name)
    seal(published.folder)
    hub.push("jane/tiny", files_of(published.folder), tag="v1.0.1")
    made = reproduction.scores(target.find("jane/tiny@v1.0.1", "scores"))
    assert made.verdict == "differs"
    assert made.decisive is not None
    assert made.decisive.what == f"{name} (sha256 in results.json)"


def test_what_the_hub_does_not_have_or_does_not_give_is_one_line(hub: LocalHub) -> None:
    with pytest.raises(InputError, match=r"jane/tiny@v9\.9\.9: no run directory .* and: jane/tiny@v9\.9\.9: "):
        target.find("jane/tiny@v9.9.9", "scores")
    with pytest.raises(InputError, match="jane/nothing: no run directory of this name is here, and: "):
        target.find("jane/nothing", "scores")


def test_a_gated_base_and_missing_data_are_named_before_anything_is_loaded(
    hub: LocalHub, published: Run, tiny_base: BaseSection
) -> None:
    pushed = hub.push(BASE, files_of(Path(tiny_base.model)), gated=True)
    base = hub.repository(BASE)
    base.commits[COMMIT] = replace(base.commits[pushed], oid=COMMIT)  # the one that the recipe pins
    found = target.find("jane/tiny@v1.0.0", "predictions")
    with pytest.raises(InputError, match=f"{BASE} is gated: accept its terms at https://huggingface.co/{BASE}, then"):
        reproduction.predictions(found)
    base.gated = False
    made = reproduction.predictions(found)
    assert made.decisive is not None
    assert made.decisive.what == "base model (fingerprint)"
    assert made.answers == []
    with pytest.raises(InputError, match=f"osler/made-up@{'0' * 40}: test.jsonl is not in the local cache and the Hub"):
        reproduction.predictions(found_with(published, tiny_base))


def found_with(published: Run, base: BaseSection) -> Target:
    """The version, as if it had been made of ``base``."""
    was = model_fingerprint(published.folder)
    template = (Path(base.model) / "chat_template.jinja").read_bytes()
    (published.folder / "chat_template.jinja").write_bytes(template)
    edit_json(
        published.manifest_path,
        base__fingerprint=fingerprint(Path(base.model)),
        chat_template_sha256=sha256_text(template.decode()),
        adapter_sha256=(now := model_fingerprint(published.folder)),
    )
    results = published.results_path()
    results.write_text(results.read_text().replace(was, now))
    (published.folder / "expected.json").unlink()
    seal(published.folder)
    return target.find(str(published.folder), "predictions")
