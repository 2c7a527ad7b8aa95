"""A run is published when nothing is wrong with it; what is wrong is said with place, value and way out."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import edit_json, edit_yaml
from safetensors.numpy import save_file

from osler.errors import InputError
from osler.governance import licences
from osler.publishing import checks, disclosure, file_checks, run_checks
from osler.recipe.strict_yaml import dump_yaml
from osler.runs.predictions import Prediction, write_predictions
from osler.runs.run import Run

HERE = Path("runs/tiny-made-up/1.0.0")


@pytest.fixture
def run(finished_project: Path, tmp_path: Path) -> Run:
    """A copy, to be spoilt."""
    shutil.copytree(finished_project, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path / HERE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A publication with nothing wrong in it: what the checks of files look at."""
    folder = tmp_path / "publication"
    (folder / "predictions").mkdir(parents=True)
    save_file({"lora_A.weight": np.ones((2, 3), np.float32)}, folder / "adapter_model.safetensors")
    (folder / "README.md").write_text("# A card\n\nNoonan syndrome is told from Kabuki syndrome 1.\n")
    (folder / "predictions" / "a.jsonl").write_text(
        json.dumps({"case_id": "test/00001", "group": None, "text": None, "subgroups": {"sex": "female"}}) + "\n"
    )
    return folder


def test_nothing_is_wrong_with_a_run_that_is_as_it_should_be(run: Run) -> None:
    assert checks.check_run(run) == []


def test_a_near_duplicate_is_for_the_reader_of_the_card_to_judge(run: Run) -> None:
    (record,) = json.loads(run.results_path().read_text())["records"]
    assert record["contamination"]["near"]["cases"] == 1
    assert run_checks.contamination(run, run.recipe()) == []


def _record(**values: Any) -> Callable[[Run], None]:
    def spoil(run: Run) -> None:
        results = json.loads(run.results_path().read_text())
        for key, value in values.items():
            inside = results["records"][0]
            *sections, last = key.split("__")
            for section in sections:
                inside = inside[section]
            inside[last] = value
        run.results_path().write_text(json.dumps(results))

    return spoil


def _manifest(**values: Any) -> Callable[[Run], None]:
    return lambda run: edit_json(run.manifest_path, **values)


def _recipe(**values: Any) -> Callable[[Run], None]:
    return lambda run: edit_yaml(run.folder / "recipe.yaml", **values)


def _task(**values: Any) -> Callable[[Run], None]:
    return lambda run: edit_yaml(run.folder.parents[2] / "tasks" / "made_up" / "task.yaml", **values)


def _local_base(run: Run) -> None:
    folder = run.folder / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    edit_yaml(run.folder / "recipe.yaml", base__model=str(folder), base__revision=None, base__weights=None)


def _prompt(run: Run) -> None:
    (run.folder.parents[2] / "tasks" / "made_up" / "prompt.jinja").write_text("{{ text }}\nWhat is it?")


def _other_weights(folder: str, name: str) -> Callable[[Run], None]:
    return lambda run: save_file({"weight": np.zeros((2, 3), np.float32)}, run.folder / folder / name)


@pytest.mark.parametrize(
    ("check", "spoil", "said"),
    [
        ("git", _manifest(environment__git_dirty=True), "environment.git_dirty is true: trained from 333333333333 and"),
        ("git", _manifest(environment__git_dirty=None), "environment.git_dirty is none"),
        ("git", _manifest(environment__git_commit=None), "environment.git_commit is null"),
        ("manifest", lambda run: run.manifest_path.write_text("{"), "manifest.json: not JSON"),
        ("manifest", lambda run: run.manifest_path.write_text("{}"), "manifest.json: schema: missing; make the file"),
        ("manifest", _manifest(adapter_sha256=None), "adapter_sha256: null is not allowed; expected text; make the"),
        ("manifest", _other_weights("adapter", "adapter_model.safetensors"), "not what training wrote"),
        (
            "manifest",
            lambda run: edit_json(run.adapter_path / "adapter_config.json", lora_alpha=8000),
            "adapter (weights, configuration, tokenizer or chat template): not what training wrote",
        ),
        ("manifest", lambda run: shutil.rmtree(run.folder / "adapter"), "no .safetensors file in it"),
        (
            "evaluation",
            lambda run: run.results_path().unlink(),
            "results.json: cannot be read: No such file or directory; run",
        ),
        (
            "evaluation",
            lambda run: edit_json(run.results_path(), weights_sha256=None),
            "nobody can tell which were scored",
        ),
        ("evaluation", lambda run: edit_json(run.results_path(), records=[]), "no split in it"),
        (
            "evaluation",
            lambda run: edit_json(run.results_path(), **{"weights_sha256__tiny-made-up@1.0.0": "4" * 64}),
            "in results.json 444444444444); run scripts/evaluate.py",
        ),
        (
            "evaluation",
            lambda run: edit_json(run.results_path(), **{"weights_sha256__tiny-made-up@1.0.0": "4" * 64}),
            "adapter (weights, configuration, tokenizer or chat template): not what was scored (sha256 ",
        ),
        ("evaluation", _other_weights("merged", "model.safetensors"), "it is not what was merged of this adapter"),
        (
            "evaluation",
            _record(predictions_sha256__majority="5" * 64),
            "majority.jsonl: not what was scored (sha256 ",
        ),
        (
            "evaluation",
            lambda run: (run.predictions_path / "made_up-test-majority.jsonl").unlink(),
            "majority.jsonl: is missing",
        ),
        ("recipe", _recipe(train__learning_rate=0.02), "recipe.yaml: not what was trained with"),
        (
            "recipe",
            _manifest(recipe__run_sha256="6" * 64),
            "in manifest.json 666666666666): bring that one back, or train this one",
        ),
        ("recipe", _prompt, "prompt.jinja: not the prompt that was trained with"),
        ("pins", _local_base, "is a folder of this machine"),
        (
            "parity",
            lambda run: shutil.rmtree(run.merged_path),
            "merged: no merged model: run scripts/evaluate.py ",
        ),
        ("parity", _record(parity=None), "test: the merged model was not compared with the adapter"),
        (
            "parity",
            _record(parity__holds=False, parity__max_probability_difference=0.25, parity__same_ranking=20),
            "20 of 24 rankings are the same, probabilities differ by up to 0.25; allowed are 0.001",
        ),
        (
            "contamination",
            _record(contamination__exact={"cases": 2, "share": 0.08, "worst": [["test/00003", "train/00007"]]}),
            "test: 2 of 24 cases are in the training data (exact, such as test/00003)",
        ),
        (
            "contamination",
            _record(contamination__publications={"cases": 1, "share": 0.04, "worst": [["test/00003", "PMID:1"]]}),
            "(publications, such as test/00003)",
        ),
        ("contamination", _record(contamination=None), "was not measured"),
        (
            "licence",
            _recipe(publish__license="apache-2"),
            "apache-2 is not a licence known here; did you mean apache-2.0?",
        ),
        ("licence", _recipe(publish__license="hpo"), "hpo is not a licence known here"),
        ("licence", _task(license="cc-by-nc-4.0"), "apache-2.0 is not what"),
        ("licence", _task(license="cc-by-nd-4.0"), "permits, which is cc-by-nd-4.0"),
        ("licence", _task(license="mine"), "what its licence mine asks of a model is not known here"),
        ("licence", _task(license=None), "its licence is not known; write it into that file"),
        (
            "licence",
            _recipe(base__model="someone/model"),
            "base.model someone/model: its licence is not known; `hf download",
        ),
    ],
)
def test_what_is_wrong_with_a_run_is_named(
    run: Run, check: str, spoil: Callable[[Run], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(run)
    found = [problem.text for problem in checks.check_run(run) if problem.check == check]
    assert any(said in text for text in found), found
    assert all("\n" not in text for text in found)


def test_an_overlap_that_the_recipe_gives_a_reason_for_is_no_problem(run: Run) -> None:
    measure = {"cases": 2, "share": 0.08, "worst": [["test/00003", "train/00007"]]}
    _record(contamination__exact=measure, contamination__allowed="a public set, used as it is")(run)
    assert run_checks.contamination(run, run.recipe()) == []


def test_a_licence_that_the_base_states_in_its_card_comes_before_the_table(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    card = tmp_path / "README.md"
    card.write_text("---\nlicense: gemma\n---\n# A base\n")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(card))
    (text,) = run_checks.licences(run, run.recipe())
    assert "apache-2.0 is not what base.model HuggingFaceTB/SmolLM2-135M-Instruct permits, which is gemma" in text


def test_the_folder_of_a_base_is_told_what_to_write_where(run: Run, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    _recipe(base__model=str(base), base__revision=None)(run)
    (text,) = run_checks.licences(run, run.recipe())
    assert text.endswith(f"begin {base}/README.md with the lines `---`, `license: NAME` (such as apache-2.0) and `---`")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert run_checks.licences(run, run.recipe()) == []


def test_a_licence_permits_itself_unless_it_permits_nothing() -> None:
    for name in licences.KNOWN:
        assert licences.permits(name, name) == (name not in ("cc-by-nd-4.0", "cc-by-nc-nd-4.0"))
    assert licences.permits("cc-by-nc-4.0", "cc-by-nc-sa-4.0")
    assert not licences.permits("cc-by-sa-4.0", "apache-2.0")


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def texts(problems: list[checks.FailedCheck]) -> str:
    return "\n".join(problem.text for problem in problems)


def test_a_pickle_or_a_file_that_does_not_belong_is_refused(run: Run, folder: Path) -> None:
    recipe = run.recipe()
    assert file_checks.weights(folder, recipe) == []
    for name in ("adapter_model.bin", "training_args.bin", "merged/model.pt", "tasks/made_up/train.jsonl", "notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({"weight": 1}))
        (text,) = file_checks.weights(folder, recipe)
        assert text.startswith(f"{path}: no file of a publication")
        path.unlink()


def test_weights_that_cannot_be_read_are_refused(run: Run, folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    whole = path.read_bytes()
    for bad in (whole[:-4], pickle.dumps({"weight": 1}), b"", whole[:8]):
        path.write_bytes(bad)
        (text,) = file_checks.weights(folder, run.recipe())
        assert "cannot be read as safetensors" in text
    path.unlink()
    assert "is missing; only safetensors" in file_checks.weights(folder, run.recipe())[0]
    path.symlink_to("/etc/passwd")
    assert "no file of a publication" in file_checks.weights(folder, run.recipe())[0]


@pytest.mark.parametrize(
    ("secret", "what"),
    [
        ("hf_" + "AbCdEfGhIj" * 3 + "abcd", "a Hub token"),
        ("AKIA" + "IOSFODNN7EXAMPLE", "an AWS access key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("ghp_" + "0123456789" * 3 + "abcdef", "a GitHub token"),
        ('api_key = "f00-ba4-9d8e7f"', "a password or key"),
        ('"password": "correct-horse"', "a password or key"),
    ],
)
def test_a_secret_is_named_and_not_repeated(run: Run, folder: Path, secret: str, what: str) -> None:
    assert file_checks.secrets(folder, run.recipe()) == []
    (folder / "README.md").write_text(f"# A card\n\n{secret}\n")
    (text,) = file_checks.secrets(folder, run.recipe())
    assert text.startswith(f"{folder / 'README.md'}: line 3: {what} (")
    assert secret not in text
    assert "revoke it" in text


def test_words_about_secrets_are_none(run: Run, folder: Path) -> None:
    text = '{"pad_token": "<|endoftext|>", "api_key": null, "password": ""} the token hf_ is read from the environment'
    (folder / "README.md").write_text(text)
    assert file_checks.secrets(folder, run.recipe()) == []


@pytest.fixture(scope="module")
def recognizers() -> Iterator[None]:
    """The extra, and HPO's files, read once; tests that need them are skipped where they cannot be had."""
    pytest.importorskip("presidio_analyzer", reason="the extra `deid` is not installed")
    from osler import preparation

    try:
        read = preparation.load_deidentifier("a key for the tests, no other")
    except InputError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "load_deidentifier", lambda key: read)
        yield


CASE = {"case_id": "test/00001", "group": None, "text": None, "subgroups": {}}


@pytest.mark.usefixtures("recognizers")
@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("predictions/a.jsonl", {**CASE, "text": "Mrs. Alice Johnson has Noonan syndrome."}, "name (Ali…)"),
        ("predictions/a.jsonl", {**CASE, "text": "Seen 03/04/2021, call (617) 555-0142."}, "phone ((61…)"),
        ("predictions/a.jsonl", {**CASE, "case_id": "MRN 4839201"}, "record (483…)"),
        ("predictions/a.jsonl", {**CASE, "case_id": "483920144"}, "record (483…)"),
        ("predictions/a.jsonl", {**CASE, "case_id": "clinic/Alice_Johnson/3"}, "name ("),
        ("predictions/a.jsonl", {**CASE, "group": "078-05-1120"}, "national id (078…)"),
        ("predictions/a.jsonl", {**CASE, "subgroups": {"site": "St Mary's Hospital"}}, "organization (St …)"),
        ("data_report.json", {"worst": [["MRN 4839201", "train/1", 0.9]]}, "record (483…)"),
        ("data_report.json", {"local": "/home/jane.doe/notes"}, "account in a path (jan…)"),
        ("README.md", "Patient name: Alice Johnson, MRN 4839201", "name (Ali…)"),
    ],
)
def test_an_identifier_of_a_person_is_found(run: Run, folder: Path, file: str, content: Any, what: str) -> None:
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content) + "\n")
    found = file_checks.identifiers(folder, run.recipe())
    assert any(f"{folder / file}: " in text and what in text for text in found), found
    assert "Johnson" not in "".join(found)


@pytest.mark.usefixtures("recognizers")
def test_diseases_publications_hashes_and_models_are_no_persons(run: Run, folder: Path) -> None:
    rows = [
        {**CASE, "case_id": "OMIM:117550/PMID:30461603", "group": "PMID:30461603", "subgroups": {"sex": "female"}},
        {**CASE, "case_id": "OMIM:117550/NSD1/PMID_22012791_Patient_1", "subgroups": {"age_band": "5-17"}},
        {**CASE, "case_id": "held-out/20000/OMIM:618947/5", "text": "Kabuki syndrome 1"},
        {
            **CASE,
            "case_id": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "text": "Marfan syndrome",
        },
    ]
    (folder / "predictions" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text(
        "---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n---\n# A card\n\nWilliam Osler said it; Smith-Magenis"
        " syndrome (OMIM:182290), HP:0001250, PMID:30461603. Write to osler@example.org. Released 2025-01-16 by HPO.\n"
    )
    assert file_checks.identifiers(folder, run.recipe()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"records__0__systems__majority__metrics__accuracy__value": 0.999},
        {"records__0__parity__max_probability_difference": 0.5},
        {"records__0__contamination__near__cases": 0},
    ],
)
def test_numbers_edited_by_hand_are_found_by_computing_them_again(run: Run, values: dict[str, Any]) -> None:
    assert not run_checks.evaluation(run, run.recipe())
    ((where, value),) = values.items()
    content = json.loads(run.results_path().read_text())
    inside: Any = content
    *sections, last = where.split("__")
    for key in sections:
        inside = inside[int(key) if key.isdigit() else key]
    assert inside[last] != value
    inside[last] = value
    run.results_path().write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (text,) = run_checks.evaluation(run, run.recipe())
    assert "results.json: not what its prediction files give" in text


@pytest.mark.parametrize(("key", "value"), [("task_version", 7), ("prompt_sha256", "0" * 64)])
def test_numbers_of_another_task_or_prompt_are_named(run: Run, key: str, value: object) -> None:
    content = json.loads(run.results_path().read_text())
    content["records"][0][key] = value
    run.results_path().write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    assert any(f"{key} of test is" in text for text in run_checks.evaluation(run, run.recipe()))


def test_a_split_that_was_left_out_is_named(run: Run) -> None:
    task = run.folder.parents[2] / "tasks" / "made_up" / "task.yaml"
    edit_yaml(task, splits__hard="more held-out rows", source__files__hard="hard.jsonl")
    edit_yaml(run.folder / "recipe.yaml", evaluation__splits=["test", "hard"])
    (text,) = run_checks.splits(run, run.recipe())
    assert "hard, which the recipe evaluates, is not in it" in text


def test_data_or_commit_that_were_not_trained_with_are_named(run: Run) -> None:
    edit_json(run.manifest_path, environment__git_commit="no such commit")
    assert "is no commit" in run_checks.git(run, run.recipe())[0]
    edit_json(run.data_report_path, provenance__revision="1" * 40)
    assert f"source.revision: {'0' * 40} is not what was trained on, 1111" in run_checks.pins(run, run.recipe())[0]


@pytest.mark.parametrize("key", ["ontology", "annotations"])
def test_data_that_no_hash_pins_cannot_even_be_read(run: Run, key: str) -> None:
    path = run.folder.parents[2] / "tasks" / "made_up" / "task.yaml"
    files = {name: f"pypi:hpo==1/{name}#sha256={'0' * 64}" for name in ("ontology", "annotations")}
    source = {"kind": "simulated", **files, key: "hp.obo"}
    edit_yaml(path, source=source, panels={"all": {"min_patients": 1}}, labels=None)
    with pytest.raises(InputError, match=f"source.{key}: 'hp.obo' does not name a file in a wheel"):
        run.recipe()


def test_data_that_nothing_pins_cannot_even_be_read(run: Run) -> None:
    edit_yaml(run.folder.parents[2] / "tasks" / "made_up" / "task.yaml", source__revision="main")
    with pytest.raises(InputError, match=r"source\.revision: .main. is not allowed; expected the 40 hex digits"):
        run.recipe()


def test_what_nobody_reads_is_no_file_of_a_publication(run: Run, folder: Path) -> None:
    (folder / "merges.txt").write_text("Alice Johnson 01/02/1960")
    save_file({"a": np.ones(1, np.float32)}, folder / "adapter_model.safetensors", metadata={"note": "Alice Johnson"})
    first, second = sorted(file_checks.weights(folder, run.recipe()))
    assert "adapter_model.safetensors: cannot be read as safetensors (its header holds note" in first
    assert "merges.txt: no file of a publication" in second


@pytest.mark.parametrize(("case_id", "group", "fine"), [("r1", "p16", False), ("0123456789abcdef", None, True)])
def test_record_numbers_of_own_data_do_not_go_out(
    run: Run, folder: Path, case_id: str, group: str | None, fine: bool
) -> None:
    task = folder / "tasks" / "made_up" / "task.yaml"
    task.parent.mkdir(parents=True)
    file = {"name": "rows.jsonl", "sha256": "0" * 64}
    source = {"kind": "prepared", "prepared_from": "x", "folder": "..", "files": {"train": file, "test": file}}
    content = {"schema": 1, "name": "made_up", "version": 1, "source": source, "splits": {"test": "rows"}}
    task.write_text(dump_yaml({**content, "labels": ["a"], "prompt": "prompt.jinja"}))
    row = Prediction(case_id, "made_up", "test", "majority", "a", ("a",), group=group)
    write_predictions(folder / "predictions" / "a.jsonl", [row])
    found = [text for text in file_checks.identifiers(folder, run.recipe()) if "in your own data" in text]
    assert bool(found) != fine


def test_where_nobody_can_look_for_identifiers_nothing_is_published(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osler import preparation

    def missing(key: str) -> None:
        raise InputError("de-identification needs the extra `deid`: pip install 'osler[deid]'")

    monkeypatch.setattr(preparation, "load_deidentifier", missing)
    (text,) = file_checks.identifiers(folder, run.recipe())
    assert "nobody looked for identifiers of persons" in text
    assert "pip install 'osler[deid]'" in text


def test_the_vocabulary_of_the_base_is_not_searched_for_names(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"Alice Johnson": 1}))
    assert not list(disclosure._texts(folder / "tokenizer.json", "tokenizer.json"))


# ── what may be allowed ──────────────────────────────────────────────────────────────────────────────────────────────


def test_reasons_are_read() -> None:
    pairs = ["git=a comment = not committed", "licence=our lawyer said so"]
    assert checks.read_allowed(pairs) == {"git": "a comment = not committed", "licence": "our lawyer said so"}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["gti=x"], "no check is called 'gti'; did you mean git?"),
        (["§=x"], "checks: manifest, evaluation, splits, git"),
        (["git"], "says no reason"),
        (["git= "], "says no reason"),
        (["git=a", "git=b"], "there twice"),
        (["manifest=x"], "nothing allows that"),
        (["evaluation=x"], "nothing allows that"),
        (["secrets=x"], "nothing allows that"),
        (["weights=x"], "nothing allows that"),
    ],
)
def test_what_cannot_be_allowed_is_refused(pairs: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        checks.read_allowed(pairs)


def test_every_check_is_listed_once() -> None:
    assert len(set(checks.CHECKS)) == len(checks.CHECKS) == 13
    assert set(checks.NEVER) < set(checks.CHECKS)
