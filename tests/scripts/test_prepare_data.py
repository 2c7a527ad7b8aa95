"""scripts/prepare_data.py as hospitals use it: killed at any moment, fed with every format, and told nonsense."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from forked import fork, run_script
from hospital import NAMED, SIGNS, export, rows
from project import ROOT, environment, script

COMMAND = ("export.csv", *NAMED, "--subgroup-column", "sex", "--output", "clinic")


def faulty(folder: Path, fault: str) -> subprocess.CompletedProcess[str]:
    """Run the script in ``folder`` with a fault. What a killed script's processes print is not waited for."""
    command = [str(ROOT / "scripts" / "prepare_data.py"), *COMMAND]
    with tempfile.TemporaryDirectory() as output:
        process = fork(prepare_with_a_fault, fault, command, folder, environment(folder), output)
        process.join(timeout=120)
        assert process.exitcode is not None, fault
        return subprocess.CompletedProcess(command, process.exitcode, "", Path(output, "stderr").read_text())


def prepare_with_a_fault(fault: str, command: list[str], *where: Any) -> None:
    """Become the script with a fault in it: it ends itself, or what started it, as `kill -9` would."""
    import osler.preparation
    from osler.preparation import arrow_rows, cleaning, preparation, report_page
    from osler.preparation.readers import reading

    main, read, replace, moved = os.getpid(), reading.read, os.replace, list[Any]()

    def kill(*_: object, **__: object) -> None:
        os.kill(main, signal.SIGKILL)

    def some_rows(*arguments: Any) -> Any:
        for number, row in enumerate(read(*arguments)):
            if number == 100:
                if fault == "append":
                    with open(arguments[0], "a") as file:
                        file.write("r9999,p9999,2020-01-01,One more note of the ward.,flu,male\n")
                else:
                    kill()
            yield row

    def clean(*_: object) -> None:
        kill()
        time.sleep(60)

    def move(source: Any, target: Any) -> None:
        replace(source, target)
        moved.append(target)
        if sum(os.path.basename(target) in ("train.jsonl", "validation.jsonl") for target in moved) == 2:
            kill()

    if fault in ("reading", "append"):
        osler.preparation.read = some_rows
    elif fault == "cleaning":
        arrow_rows.BATCH = 50  # so that there are several processes
        cleaning.Cleaning.clean = clean
    elif fault == "writing":
        preparation.write_json = kill
    elif fault == "moving":
        os.replace = move
    elif fault == "describing":
        report_page.render_page = kill
    run_script(command, *where)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_running(folder: Path) -> list[str]:
    """The processes that work in ``folder``, where the system says so."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with suppress(OSError):  # it has ended meanwhile
            if os.readlink(f"/proc/{process}/cwd") == str(folder.resolve()):
                found.append(process)
    return found


def prepared(folder: Path) -> dict[str, tuple[str, str]]:
    """Case id → its split and label."""
    lines = ((s, json.loads(line)) for s in SPLITS for line in (folder / f"{s}.jsonl").read_text().splitlines())
    return {row["case_id"]: (split, row["label"]) for split, row in lines}


SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What the export becomes, and what a longer one does in the same folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    found = []
    for made in (rows(), [*rows(), *rows(60, first=1000)]):
        export(folder / "export.csv", made)
        done = script(folder, "prepare_data", *COMMAND)
        assert done.returncode == 0, done.stderr
        found.append(contents(folder / "clinic"))
    return found[0], found[1]


@pytest.mark.parametrize("fault", ["reading", "cleaning", "writing", "moving", "describing"])
def test_a_killed_preparation_leaves_nothing_that_counts_and_is_simply_started_again(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], dict[str, bytes]], fault: str
) -> None:
    export(tmp_path / "export.csv", rows())
    assert faulty(tmp_path, fault).returncode == -9
    for _ in range(50):
        if left_running(tmp_path):
            time.sleep(0.1)
    assert not left_running(tmp_path), "what helped has ended, too"
    left = {path.name for path in (tmp_path / "clinic").iterdir()} - {".preparing", ".preparing.lock", ".prepared"}
    assert ("data_report.json" in left) == (fault == "describing"), "without it, no folder counts as prepared"
    for name in left:
        assert (tmp_path / "clinic" / name).read_bytes() == undisturbed[0][name], "a file is whole, or is not there"
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "clinic") == undisturbed[0]


@pytest.mark.parametrize("fault", ["writing", "moving"])
def test_a_killed_preparation_of_a_longer_export_mixes_no_old_files_with_new_ones(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], dict[str, bytes]], fault: str
) -> None:
    for name, content in undisturbed[0].items():
        (tmp_path / "clinic" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clinic" / name).write_bytes(content)
    export(tmp_path / "export.csv", [*rows(), *rows(60, first=1000)])
    assert faulty(tmp_path, fault).returncode == -9
    if fault == "moving":
        recipe = "clinic/recipes/clinic/qlora-v1.yaml"
        trained = script(tmp_path, "train", recipe, "--output", "run")
        assert trained.returncode == 2
        assert "has changed since; run scripts/prepare_data.py again" in trained.stderr.replace("\n", " ")
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "clinic") == undisturbed[1]


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", rows())
    done = faulty(tmp_path, "append")
    assert done.returncode == 2
    assert "export.csv: was changed while it was read; wait until it is written, and start again" in done.stderr
    assert not (tmp_path / "clinic").exists()


@pytest.mark.parametrize("free", [1_000, 40_000])
def test_a_full_disk_ends_in_one_line_and_leaves_nothing_behind(tmp_path: Path, free: int) -> None:
    export(tmp_path / "export.csv", rows())
    done = script(tmp_path, "prepare_data", *COMMAND, free=free)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: clinic: File too large; make room, then run this again"
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "clinic").exists()


# ── what is printed, and what is kept ────────────────────────────────────────────────────────────────────────────────


def test_all_bad_dates_are_told_at_once_and_no_note_is_printed(tmp_path: Path) -> None:
    made = rows(60, first=1)
    for number in (3, 7, 20):
        made[number]["seen"] = f"{number:02}/05/2021"
    export(tmp_path / "export.csv", made)
    command = ("export.csv", *NAMED, "--date-column", "seen", "--output", "out")
    command = (*command, "--validation-from", "2022-01-01", "--test-from", "2023-01-01")
    for options, quoted in (([], False), (["--show-text"], True)):
        done = script(tmp_path, "prepare_data", *command, *options)
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert "export.csv:5: '03/05/2021' is not an ISO 8601 date (YYYY-MM-DD)" in line
        assert "(and so in 2 more: :9, :22); 3 rows cannot be read and 0 are allowed" in line
        assert ("Seen " in done.stderr) == quoted, "a note"


def test_notes_are_in_the_files_of_the_splits_alone_and_git_ignores_them(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    export(tmp_path / "export.csv", rows())
    for options, quoted in (([], False), (["--show-text"], True)):
        done = script(tmp_path, "prepare_data", *COMMAND, *options)
        assert done.returncode == 0, done.stderr
        written = contents(tmp_path / "clinic")
        with_notes = {name for name, content in written.items() if b"Tired and pale" in content or b"Seen " in content}
        shown = {"data_report.json", "data_report.html"} if quoted else set()
        assert with_notes == {f"{split}.jsonl" for split in SPLITS} | shown
        page = written["data_report.html"].decode()
        assert page.index("What this page holds") < page.index("<nav")
        assert ("It also quotes texts of patients" in page) == quoted
        assert "Tired and pale" not in done.stdout + done.stderr
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert status.stdout == "?? export.csv\n"


def test_the_summary_counts_what_was_changed_masked_and_merged(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", rows())
    done = script(tmp_path, "prepare_data", *COMMAND)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "1 changed: html" in lines
    assert "1 masked: label in text" in lines
    spellings = "'Type 1 Diabetes Mellitus', 'type 1 diabetes mellitus'"
    assert f"40 joined to the label Type 1 diabetes mellitus: written {spellings}" in lines


# ── data that nothing can be learnt from or measured on ──────────────────────────────────────────────────────────────


def test_data_without_a_test_row_are_refused_before_a_recipe_is_written(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", [{**row, "patient": "1"} for row in rows(60, first=1)])
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 2
    assert "export.csv: of 60 rows, none is left for t" in done.stderr
    assert "all belong together, because they share a group or are nearly the same" in done.stderr
    assert not (tmp_path / "clinic").exists()
    by_date = ("--date-column", "seen", "--validation-from", "2030-01-01", "--test-from", "2031-01-01")
    done = script(tmp_path, "prepare_data", *COMMAND, *by_date)
    assert "none is left for test: their dates are on the other side of 2031-01-01" in done.stderr


def test_thin_labels_are_warned_of_and_can_get_more_rows_or_be_left_out(tmp_path: Path) -> None:
    made = rows(120, first=1)
    for number, row in enumerate(made[:4]):
        row["diagnosis"], row["patient"] = "gout", f"g{number}"
    export(tmp_path / "export.csv", made)
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert "train has fewer than 5 rows of 1 label (gout)" in done.stdout
    assert "--min-rows" in done.stdout
    done = script(tmp_path, "prepare_data", *COMMAND[:-1], "larger", "--min-rows", "10", "--shares", "60,0,40")
    assert done.returncode == 0, done.stderr
    assert "4 dropped: rare label" in done.stdout
    report = json.loads((tmp_path / "larger" / "data_report.json").read_text())
    assert "gout" not in report["labels"]
    assert "aims at 60% train, 0% validation, 40% test." in report["split_by"]
    test = report["splits"]["test"]
    assert 0.25 < test["rows"] / report["rows_out"] < 0.55
    assert report["splits"]["validation"]["rows"] == 0


@pytest.mark.parametrize(
    "changed",
    [
        ("--shares", "50,10,40"),
        ("--date-column", "seen", "--validation-from", "2015-01-01", "--test-from", "2018-01-01"),
    ],
)
def test_options_that_would_not_apply_to_rows_that_keep_their_splits_are_refused(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], dict[str, bytes]], changed: tuple[str, ...]
) -> None:
    export(tmp_path / "export.csv", rows())
    for name, content in undisturbed[0].items():
        (tmp_path / "clinic" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clinic" / name).write_bytes(content)
    done = script(tmp_path, "prepare_data", *COMMAND, *changed)
    assert done.returncode == 2
    assert "clinic: 242 rows keep the splits they have, so other --shares, or dates, would not apply" in done.stderr
    assert contents(tmp_path / "clinic") == undisturbed[0]


def test_patients_that_earlier_splits_tear_apart_are_refused(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", rows())
    ungrouped = [option for option in COMMAND if option not in ("--group-column", "patient")]
    done = script(tmp_path, "prepare_data", *ungrouped)
    assert done.returncode == 0, done.stderr
    assert "WARNING: no row names its patient, so notes of one patient can be in train and in test" in done.stdout
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 2
    assert "groups would be in several splits" in done.stderr


def test_what_came_out_is_said_beside_the_shares_that_were_aimed_at(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", rows(16))
    done = script(tmp_path, "prepare_data", *COMMAND)
    splits = json.loads((tmp_path / "clinic" / "data_report.json").read_text())["splits"]
    groups = {split: counts["groups"] for split, counts in splits.items()}
    total = sum(groups.values())
    came_out = ", ".join(f"{split} {n} ({n / total:.0%})" for split, n in ((s, groups[s]) for s in SPLITS))
    assert f"{total} groups: {came_out}; aimed at 80%, 10%, 10%" in done.stdout
    for name in ("README.md", "data_report.html"):
        said = (tmp_path / "clinic" / name).read_text()
        assert "aims at 80% train, 10% validation, 10% test" in said
        assert f"What came out: {total} groups: {came_out}." in said


# ── clinical formats ─────────────────────────────────────────────────────────────────────────────────────────────────

ICD = {"Type 1 diabetes mellitus": "E10", "Urinary tract infection": "N39.0", "Iron deficiency anaemia": "D50"}


def signs(number: int) -> tuple[str, list[str]]:
    """A diagnosis and three of its signs."""
    label = sorted(SIGNS)[number % 3]
    return label, random.Random(number).sample(SIGNS[label], 3)


def test_fhir_becomes_a_dataset_a_task_and_a_recipe(tmp_path: Path) -> None:
    resources: list[dict[str, object]] = [{"resourceType": "Encounter", "id": "e1"}]
    certainty = {1: "refuted", 3: "provisional", 5: "provisional"}
    for number in range(150):
        label, found = signs(number)
        subject = {"subject": {"reference": f"Patient/{number // 2}"}}
        day = f"2020-{1 + number % 2:02}-1{number % 10}"
        if number % 2 == 0:
            birth = f"{1940 + number % 60}-03-04"
            resources.append(
                {"resourceType": "Patient", "id": f"{number // 2}", "gender": "female", "birthDate": birth}
            )
        coded = {"coding": [{"display": label, "code": ICD[label]}]}
        resources.append(
            {"resourceType": "Condition", "id": f"c{number}", "code": coded, "recordedDate": day, **subject}
            | {"verificationStatus": {"coding": [{"code": certainty.get(number, "confirmed")}]}}
        )
        for place, name in enumerate([*found, f"Weight {number % 7}"]):
            value = {"value": random.Random(f"{number}{name}").randrange(10, 99), "unit": "points"}
            code = {"coding": [{"display": name, "code": f"{label}-{place}"}]}
            resources.append(
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": code,
                    "valueQuantity": value,
                    "effectiveDateTime": day,
                    **subject,
                }
            )
    path = tmp_path / "bulk.ndjson"
    path.write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    done = script(tmp_path, "prepare_data", path, "--include-suspected", "--output", "clinic")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "clinic" / "data_report.json").read_text())
    assert report["rows_in"] == 150
    said = {"Encounter resources were not read": 1, "Conditions that are provisional count as diagnoses": 2}
    assert said.items() <= report["notices"].items()
    card, page = ((tmp_path / "clinic" / name).read_text() for name in ("README.md", "data_report.html"))
    assert all(text in done.stdout and text in card and text in page for text in said)
    assert report["dropped"]["no_diagnosis"] == 1
    assert "1 dropped: no diagnosis" in done.stdout
    rejected = (tmp_path / "clinic" / "rejected.jsonl").read_text()
    assert "no_diagnosis: the Condition is refuted: no diagnosis" in rejected
    assert report["rows_out"] + sum(report["dropped"].values()) == 150
    assert set(report["labels"]) == {f"{label} ({code})" for label, code in ICD.items()}
    assert set(report["subgroups"]) == {"age_band", "sex"}
    checked = script(tmp_path, "check_recipes", "clinic/recipes/clinic/qlora-v1.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_phenopackets_become_a_dataset_and_one_publication_is_in_one_split(tmp_path: Path) -> None:
    for number in range(150):
        label, found = signs(number)
        chosen = [*found, *random.Random(-number).sample(sorted({s for of in SIGNS.values() for s in of}), 3)]
        packet = {
            "id": f"packet-{number}",
            "subject": {"id": f"{number}", "sex": "MALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P30Y"}}},
            "phenotypicFeatures": [{"type": {"id": f"HP:{n}", "label": name}} for n, name in enumerate(chosen)],
            "diseases": [{"term": {"id": f"OMIM:{sorted(SIGNS).index(label)}", "label": label}}],
            "metaData": {"externalReferences": [{"id": f"PMID:{number // 3}"}]},
        }
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store" / f"{number}.json").write_text(json.dumps(packet))
    done = script(tmp_path, "prepare_data", "store", "--output", "clinic")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "clinic" / "data_report.json").read_text())
    assert report["rows_in"] == 150
    assert set(report["labels"]) == {f"{label} (OMIM:{n})" for n, label in enumerate(sorted(SIGNS))}
    of_publication: dict[str, set[str]] = {}
    for split in SPLITS:
        for line in (tmp_path / "clinic" / f"{split}.jsonl").read_text().splitlines():
            of_publication.setdefault(json.loads(line)["group"], set()).add(split)
    assert len(of_publication) > 40
    assert all(len(splits) == 1 for splits in of_publication.values())


# ── tasks and options ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_found_wherever_one_is(tmp_path: Path) -> None:
    data = tmp_path / "data" / "symptom_to_diagnosis"
    data.mkdir(parents=True)
    for split, first in (("train", 0), ("test", 500)):
        made = [{"input_text": row["note"], "output_text": label} for row, label in labelled(90, first)]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    done = script(tmp_path, "prepare_data", "symptom_to_diagnosis", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert set(dict(prepared(tmp_path / "out").values())) == {"train", "test"}
    assert not (tmp_path / "out" / "tasks").exists()
    mine = tmp_path / "tasks" / "symptom_to_diagnosis"
    mine.mkdir(parents=True)
    shutil.copyfile(ROOT / "tasks" / "rare_disease" / "task.yaml", mine / "task.yaml")
    done = script(tmp_path, "prepare_data", "symptom_to_diagnosis", "--output", "out")
    assert "its patients are simulated" in done.stderr, "one in the working directory comes first"


def labelled(n: int, first: int) -> list[tuple[dict[str, str], str]]:
    return [(row, ("migraine", "dengue", "jaundice")[number % 3]) for number, row in enumerate(rows(n, first or 2000))]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["medqa"], "medqa: has no rows to prepare: it is a benchmark"),
        (["rare_disease"], "rare_disease: has no rows to prepare: its patients are simulated"),
        (["hpo"], "hpo: has no rows to prepare: its texts are generated from an ontology"),
        (["symptom_to_diagnoses"], "no such file, folder or task; did you mean symptom_to_diagnosis?"),
        (
            ["symptom_to_diagnosis", "--license", "mit"],
            "--license: symptom_to_diagnosis is a task, whose file says this",
        ),
        (["symptom_to_diagnosis", "--group-column", "patient"], "--group-column: symptom_to_diagnosis is a task"),
        (["export.csv", *NAMED, "--license", "CC BY 4.0"], "did you mean cc-by-4.0?"),
        (["export.csv", *NAMED, "--license", "Apache 2"], "did you mean apache-2.0?"),
        (["export.csv", *NAMED, "--license", "our own"], "the Hub knows no licence by this identifier; the rest is"),
        (["symptom_to_diagnosis", "--include-suspected"], "--include-suspected: symptom_to_diagnosis is a task"),
        (["export.csv", "--group-column", "patient"], "name both --text-column and --label-column"),
        (["export.csv", *NAMED, "--shares", "80,20"], "--shares 80,20: expected three numbers"),
        (["export.csv", *NAMED, "--shares", "70,20,20"], "--shares 70,20,20: add up to 110"),
        (["export.csv", *NAMED, "--output", "out.csv"], "--output out.csv: the task is named after it; give a --name"),
        (["export.csv", *NAMED, "--shares", "80,20,0"], "only validation may be 0"),
        (["export.csv", *NAMED, "--min-rows", "0"], "--min-rows 0: must be at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    export(tmp_path / "export.csv", rows(20))
    done = script(tmp_path, "prepare_data", "--output", "out", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_licence_of_the_hub_is_taken(tmp_path: Path) -> None:
    export(tmp_path / "export.csv", rows())
    done = script(tmp_path, "prepare_data", *COMMAND, "--license", "cc-by-4.0")
    assert done.returncode == 0, done.stderr
    assert "license: cc-by-4.0" in (tmp_path / "clinic" / "README.md").read_text()


def test_cleaning_can_be_changed_in_the_new_task_and_stays_changed(tmp_path: Path) -> None:
    made = [{**row, "diagnosis": label} for row, label in labelled(90, 0)]
    made[2]["note"] += " There is jaundice."
    export(tmp_path / "export.csv", made)
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert "1 text contains the label jaundice, which is not masked because it is a common word" in done.stdout
    assert "There is jaundice." in "".join((tmp_path / "clinic" / f"{split}.jsonl").read_text() for split in SPLITS)
    assert "Labels that are left in their texts" in (tmp_path / "clinic" / "data_report.html").read_text()
    assert "jaundice (1)" in (tmp_path / "clinic" / "README.md").read_text()
    task = tmp_path / "clinic" / "tasks" / "clinic" / "task.yaml"
    assert "keep_common: true" in task.read_text()
    task.write_text(task.read_text().replace("keep_common: true", "keep_common: false"))
    for _ in range(2):
        done = script(tmp_path, "prepare_data", *COMMAND)
        assert done.returncode == 0, done.stderr
        texts = "".join((tmp_path / "clinic" / f"{split}.jsonl").read_text() for split in SPLITS)
        assert "There is [diagnosis]." in texts
        assert "jaundice." not in texts
    task.write_text(task.read_text().replace("keep_common", "keep_comon"))
    done = script(tmp_path, "prepare_data", *COMMAND)
    assert done.returncode == 2
    assert "did you mean preparation.cleaning.8.keep_common?" in done.stderr
