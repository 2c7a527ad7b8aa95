"""From a hospital's export to files, a task and a recipe; and what is refused."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from hospital import ANSWERED, CONFLICTING, HTML, NAMED, SIGNS, UNLABELLED, export, identified, rows
from project import ROOT, script

from osler.errors import InputError
from osler.preparation import preparation, report_page, scaffold
from osler.preparation.cleaning_steps import DEFAULT_STEPS, parse_steps
from osler.preparation.pseudonyms import Pseudonyms
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns, RejectedRow
from osler.preparation.settings import PreparationSettings
from osler.recipe.sections import BaseSection
from osler.tasks.task import load_task

SPLITS = ("train", "validation", "test")
COLUMNS = Columns("note", "diagnosis", "record", "patient", None, ("sex",))


def prepared(folder: Path) -> dict[str, dict[str, Any]]:
    """Case id → its line, with the split it is in."""
    found = {}
    for split in SPLITS:
        for line in (folder / f"{split}.jsonl").read_text().splitlines():
            row = json.loads(line)
            assert row["case_id"] not in found
            found[row["case_id"]] = {**row, "split": split}
    return found


def rejected(folder: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    return {line["case_id"]: line["reason"] for line in lines}


def prepare(source: Path, output: Path, columns: Columns = COLUMNS, **settings: Any) -> dict[str, Any]:
    read_rows = ((None, row) for row in read(str(source), columns))
    return preparation.prepare(
        read_rows, output, PreparationSettings(parse_steps(list(DEFAULT_STEPS), "cleaning"), **settings), source.name
    )


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``scripts/prepare_data.py`` made of the hospital's export."""
    folder = tmp_path_factory.mktemp("clinic")
    export(folder / "export.csv", rows())
    done = script(folder, "prepare_data", "export.csv", *NAMED, "--subgroup-column", "sex", "--output", "clinic")
    assert done.returncode == 0, done.stderr
    (folder / "out.txt").write_text(done.stdout)
    return folder


def test_every_row_is_in_one_file_or_is_rejected_with_its_reason(clinic: Path) -> None:
    kept, why = prepared(clinic / "clinic"), rejected(clinic / "clinic")
    assert {row["record"] for row in rows()} == kept.keys() | why.keys()
    assert not kept.keys() & why.keys()
    assert {case: why[case] for case in CONFLICTING} == dict.fromkeys(CONFLICTING, "conflicting_labels")
    assert why[UNLABELLED] == "unlabelled"
    assert why["r905"] == "duplicate"
    assert len(why) == 4
    report = json.loads((clinic / "clinic" / "data_report.json").read_text())
    assert report["rows_in"] == len(rows())
    assert report["rows_out"] == len(kept) == report["rows_in"] - sum(report["dropped"].values())
    assert report["dropped"] == {"conflicting_labels": 2, "unlabelled": 1, "duplicate": 1}


def test_texts_and_labels_are_cleaned(clinic: Path) -> None:
    kept = prepared(clinic / "clinic")
    assert kept[HTML]["text"] == "Brittle nails & pallor, palpitations at night."
    assert kept[ANSWERED]["text"] == "Known [diagnosis], here for a blood count."
    assert {row["label"] for row in kept.values()} == set(SIGNS)
    report = json.loads((clinic / "clinic" / "data_report.json").read_text())
    (label, spellings), *others = report["spellings"].items()
    assert (label, others) == ("Type 1 diabetes mellitus", [])
    given = [" ".join(row["diagnosis"].split()) for row in rows()]
    assert spellings == {s: given.count(s) for s in ("Type 1 Diabetes Mellitus", "type 1 diabetes mellitus")}


def test_a_patient_is_in_one_split_only_and_every_split_has_rows(clinic: Path) -> None:
    kept = prepared(clinic / "clinic").values()
    of_patient: dict[str, set[str]] = {}
    for row in kept:
        of_patient.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in of_patient.values())
    counts = {split: sum(row["split"] == split for row in kept) for split in SPLITS}
    assert counts["train"] > 5 * counts["validation"] > 0
    assert counts["test"] > 10


def test_rows_that_are_added_move_no_row_that_is_there(clinic: Path, tmp_path: Path) -> None:
    before = prepared(clinic / "clinic")
    for name in (*(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl", "data_report.json"):
        (tmp_path / name).write_text((clinic / "clinic" / name).read_text())
    more = rows(120, first=1000)
    more[3]["note"] = rows()[5]["note"].replace("for", "for about")  # a near-duplicate of an old row
    prepare(export(tmp_path / "more.csv", [*more, *rows()]), tmp_path)
    after = prepared(tmp_path)
    assert {case: row["split"] for case, row in before.items()} == {case: after[case]["split"] for case in before}
    assert len(after) > len(before) + 100
    assert after["r1003"]["split"] == after["r5"]["split"]


def test_the_same_export_gives_the_same_bytes(clinic: Path, tmp_path: Path) -> None:
    for output in ("one", "two"):
        prepare(clinic / "export.csv", tmp_path / output)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_reports_and_the_card_say_what_was_found(clinic: Path) -> None:
    out = (clinic / "out.txt").read_text()
    assert "246 rows in, 242 out: train " in out
    assert "2 dropped: conflicting labels" in out
    assert "scripts/train.py clinic/recipes/clinic/qlora-v1.yaml --output clinic/runs/qlora-v1" in out
    page = (clinic / "clinic" / "data_report.html").read_text()
    assert "246 rows in, 242 out" in page
    assert "Not de-identified" in page
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http-equiv", "")
    card = (clinic / "clinic" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "pretty_name: clinic" in card
    assert "path: validation.jsonl" in card
    assert "**not** de-identified" in card


@pytest.mark.slow
def test_the_new_task_and_recipe_train_and_are_evaluated_as_they_stand(clinic: Path, tiny_base: BaseSection) -> None:
    recipe = Path("clinic/recipes/clinic/qlora-v1.yaml")
    checked = script(clinic, "check_recipes", recipe)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    small = [f"base.model={tiny_base.model}", "base.revision=null", "base.weights=null", "train.max_steps=2"]
    small += ["evaluation.resamples=50", "train.max_length=128"]
    done = script(clinic, "train", recipe, *small, "--output", "clinic/runs/qlora-v1")
    assert done.returncode == 0, done.stderr
    done = script(clinic, "evaluate", "clinic/runs/qlora-v1")
    assert done.returncode == 0, done.stderr
    records = json.loads((clinic / "clinic/runs/qlora-v1/results.json").read_text())["records"]
    assert {record["split"] for record in records} == {"test", "validation"}
    test = next(record for record in records if record["split"] == "test")
    assert test["groups"] < test["n"], "two notes of one patient are not two patients"
    assert test["contamination"]["normalised"]["cases"] == 0
    assert test["systems"]["tfidf_svm"]["metrics"]["accuracy"]["value"] > 0.9


@pytest.mark.slow
def test_no_identifier_is_left_in_any_file_and_no_row_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra deid is not installed")
    (tmp_path / "key").write_text("a secret that nobody guesses\n")
    command = [*NAMED, "--subgroup-column", "sex", "--subgroup-column", "age", "--deidentify", "key"]
    command += ["--max-rejected", "2", "--output", "out"]
    splits: list[dict[str, str]] = []
    for n in (60, 80):
        planted = identified(tmp_path / f"whitfield {n}", n)
        # In this process, so that the terms and the model are loaded once.
        monkeypatch.chdir(tmp_path)
        main = runpy.run_path(str(ROOT / "scripts" / "prepare_data.py"))["main"]
        monkeypatch.setattr("sys.argv", ["prepare_data.py", f"whitfield {n}", *command])
        with pytest.raises(
            InputError, match=r"pemberton clinic\.csv: no date tells whether the day or the month comes first"
        ):
            main()
        monkeypatch.setattr("sys.argv", ["prepare_data.py", f"whitfield {n}", *command, "--day-first"])
        assert main() == 0
        files = {path: path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert len(files) > 10
        for path, content in files.items():
            for identifier in planted:
                assert identifier.lower() not in f"{path.relative_to(tmp_path)}\n{content}".lower(), (path, identifier)
        kept = prepared(tmp_path / "out")
        splits.append({case: row["split"] for case, row in kept.items()})
    assert splits[0].items() < splits[1].items(), "pseudonyms of the same key are the same"
    assert "identifiers replaced: " in capsys.readouterr().out
    everything = "".join(files.values())
    assert "Her mother has Wilson disease." in everything
    assert {label for label in SIGNS if label in everything} == set(SIGNS)
    assert {row["subgroups"]["age"] for row in kept.values()} == {"57", "90+"}
    assert {row["subgroups"]["sex"] for row in kept.values()} == {"female", "male"}
    assert {row["source"].partition(":")[0] for row in kept.values()} == {"file-1", "file-2"}
    unread = [line for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines() if "unreadable" in line]
    assert len(unread) == 2
    assert "the label identifies somebody (NAME)" in "".join(unread)
    lines = (tmp_path / "out" / "deidentification_audit.jsonl").read_text().splitlines()
    audit = [json.loads(line) for line in lines]
    assert all(row.keys() == {"case_id", "field", "start", "end", "type", "rule"} for row in audit)
    assert {row["field"] for row in audit} == {"text", "subgroup age"}
    report = json.loads((tmp_path / "out" / "data_report.json").read_text())
    assert sum(report["identifiers"].values()) == len(audit) > 5
    assert report["dates"] == {"day_first": 2, "month_first": 0}


def test_a_prepared_file_that_was_edited_is_refused(clinic: Path) -> None:
    folder = clinic / "clinic" / "tasks" / "clinic"
    assert len(load_task(folder).source.split("test")) > 10
    path = clinic / "clinic" / "test.jsonl"
    before = path.read_text()
    try:
        path.write_text(before.replace("Seen", "Met", 1))
        with pytest.raises(InputError, match="the file has changed since"):
            load_task(folder).source.split("test")
    finally:
        path.write_text(before)


def test_splits_by_date_keep_the_future_out_of_training(tmp_path: Path) -> None:
    source = export(tmp_path / "export.csv", rows())
    columns = Columns("note", "diagnosis", "record", None, "seen")
    report = prepare(source, tmp_path / "out", columns, cutoffs=("2020-01-01", "2022-01-01"))
    seen = {row["record"]: row["seen"] for row in rows()}
    for case, row in prepared(tmp_path / "out").items():
        expected = "train" if seen[case] < "2020" else "validation" if seen[case] < "2022" else "test"
        assert row["split"] == expected
    assert "By date: before 2020-01-01 train" in report["split_by"]


def test_given_splits_are_kept_and_training_rows_that_leak_are_dropped(tmp_path: Path) -> None:
    made = rows()
    source = export(tmp_path / "export.csv", made)
    records = list(read(str(source), Columns("note", "diagnosis", "record")))
    nearly = {**records[7], "case_id": "near", "text": records[7]["text"].replace("kg", "kg,")}
    copy = {**records[8], "case_id": "copy"}
    given = [("test" if n < 60 else "train", row) for n, row in enumerate(records)]
    report = preparation.prepare(
        [*given, ("train", nearly), ("train", copy)],
        tmp_path / "out",
        PreparationSettings(parse_steps(list(DEFAULT_STEPS), "cleaning")),
        "export.csv",
    )
    why = rejected(tmp_path / "out")
    assert why["copy"] == "stands_in_a_held_out_split"
    assert why["near"] in ("stands_in_a_held_out_split", "nearly_stands_in_a_held_out_split")
    assert report["leakage"]["exact"] + report["leakage"]["near"] >= 2
    assert {case for case, row in prepared(tmp_path / "out").items() if row["split"] == "test"} <= {
        row["record"] for row in made[:60]
    }


def test_rows_that_cannot_be_read_are_refused_unless_some_are_allowed(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    lines = [json.dumps({"note": f"{row['note']}", "diagnosis": row["diagnosis"]}) for row in rows(60)]
    lines[30] = lines[30][:-5]
    source.write_text("\n".join(lines))
    columns = Columns("note", "diagnosis")
    with pytest.raises(InputError, match=r"rows.jsonl:31: .*--max-rejected"):
        prepare(source, tmp_path / "out", columns)
    assert not list((tmp_path / "out").glob("*")), "nothing is left behind"
    report = prepare(source, tmp_path / "out", columns, max_rejected=1)
    assert report["dropped"]["unreadable"] == 1
    assert "unreadable" in rejected(tmp_path / "out")[None]  # type: ignore[index]


def test_a_run_that_is_interrupted_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    source = export(tmp_path / "export.csv", rows())
    prepare(source, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def broken() -> Any:
        yield from ((None, row) for row in read(str(source), COLUMNS))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preparation.prepare(
            broken(), tmp_path / "out", PreparationSettings(parse_steps(list(DEFAULT_STEPS), "cleaning")), "export.csv"
        )
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export.csv", "--text-column", "note"], "name both --text-column and --label-column"),
        (["export.csv", *NAMED, "--test-from", "2020-01-01"], "needs both --validation-from and --test-from"),
        (["export.csv", *NAMED, "--name", "My Clinic"], "lower-case letters, digits and underscores"),
        (["export.csv", *NAMED, "--date-column", "seen"], "--date-column: without --validation-from and --test-from"),
        (["export.csv", *NAMED, "--deidentify", "no.key"], "openssl rand"),
        (["exports.csv", *NAMED], "no such file"),
        (["export.csv", *NAMED, "--max-rejected", "-1"], "--max-rejected -1: must be at least 0"),
        (["export.csv", *NAMED, "--validation-from", "2015-01-01", "--test-from", "2020-01-01"], "needs --date-column"),
        (["export.csv", "--text-column", "notes", "--label-column", "diagnosis"], "did you mean note?"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_writes_nothing(tmp_path: Path, arguments: list[str], says: str) -> None:
    export(tmp_path / "export.csv", rows(20))
    done = script(tmp_path, "prepare_data", *arguments, "--output", "out")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def lines(path: Path, made: list[tuple[str, str]]) -> Path:
    """Texts and labels as a file."""
    path.write_text("".join(json.dumps({"note": note, "diagnosis": label}) + "\n" for note, label in made))
    return path


def notes(*labels: str) -> list[tuple[str, str]]:
    return [(row["note"], labels[n % len(labels)]) for n, row in enumerate(rows(60, first=1000))]


def test_one_text_with_two_labels_in_it_is_a_conflict(tmp_path: Path) -> None:
    either = "Either flu or gout, said the doctor on the ward."
    source = lines(tmp_path / "x.jsonl", [*notes("flu", "gout"), (either, "flu"), (either, "gout")])
    report = prepare(source, tmp_path / "out", Columns("note", "diagnosis"))
    assert report["dropped"] == {"conflicting_labels": 2}
    assert len(prepared(tmp_path / "out")) == 60


def test_what_masks_and_labels_give_away_is_said_in_the_report_and_the_summary(tmp_path: Path) -> None:
    made = notes("flu", "gout|flu", "gout", "Gouts")
    made = [(f"{note} It is the flu." if label == "flu" else note, label) for note, label in made]
    told = [(f"{note} Old notes: flu, gout.", label) for note, label in notes("flu", "gout")]
    for name, rows_made in (("leaky", made), ("safe", told)):
        report = prepare(lines(tmp_path / f"{name}.jsonl", rows_made), tmp_path / name, Columns("note", "diagnosis"))
        assert not [row for row in prepared(tmp_path / name).values() if "flu" in row["text"]]
        said = report_page.render_summary(report)
        page = report_page.render_page(name, report)
        assert f"{60 if name == 'safe' else 15} masked: label in text" in said
        if name == "safe":
            assert ["no row names its patient" in warning for warning in report["warnings"]] == [True]
            assert "masks give no answer away: from their places alone 5" in said
            assert "The masks do not give answers away." in page
        else:
            assert "WARNING: 15 rows name several diagnoses in one cell (gout|flu)" in said
            assert "not joined, but maybe one label: 'Gouts', 'gout'; if so, write them alike in the source" in said
            assert "WARNING: THE MASKS TELL THE LABEL" in said
            assert "THE MASKS TELL THE LABEL" in page
            assert "The masks give answers away." in page


def test_texts_that_still_hold_the_words_of_their_label_are_said(tmp_path: Path) -> None:
    made = [
        (f"{note} An infection of the urinary tract." if label != "gout" else note, label)
        for note, label in notes("urinary_tract_infection", "gout")
    ]
    report = prepare(lines(tmp_path / "x.jsonl", made), tmp_path / "out", Columns("note", "diagnosis"))
    (warning,) = [warning for warning in report["warnings"] if "no row names its patient" not in warning]
    assert warning.startswith("30 texts still hold all words of the label in one sentence")
    assert f"WARNING: {warning}" in report_page.render_summary(report)


def test_one_label_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", notes("flu"))
    with pytest.raises(InputError, match=r"only one label is left \(flu\)"):
        prepare(source, tmp_path / "out", Columns("note", "diagnosis"))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_left_as_it_is(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", notes("flu", "gout"))
    for name, says in (("README.md", "was not made by prepare_data"), ("data_report.json", "was not made by")):
        output = tmp_path / name.partition(".")[0]
        output.mkdir()
        (output / name).write_text("{}")
        with pytest.raises(InputError, match=says):
            prepare(source, output, Columns("note", "diagnosis"))
        assert [path.read_text() for path in output.iterdir()] == ["{}"]


def test_another_key_is_refused_because_rows_would_change_splits(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", notes("flu", "gout"))
    prepare(source, tmp_path / "out", Columns("note", "diagnosis"))
    with pytest.raises(InputError, match="choose another --output"):
        prepare(source, tmp_path / "out", Columns("note", "diagnosis"), key="a secret that nobody guesses")


def test_reasons_do_not_quote_identifiers_where_texts_are_deidentified() -> None:
    bad = RejectedRow("whitfield.jsonl:1", "'Margaret Whitfield' is not an ISO 8601 date", "'Margaret'")
    kept = Pseudonyms("a secret that nobody guesses").mask_rejected(bad)
    assert kept.source == "file-1:1"
    assert "Whitfield" not in f"{kept}"
    assert Pseudonyms(None).mask_rejected(bad) == bad


def test_training_counts_the_rows_of_a_source_and_not_each_row(clinic: Path) -> None:
    found = load_task(clinic / "clinic" / "tasks" / "clinic").source.split("train")
    assert {row.source for row in found} == {"export.csv"}


def test_a_path_with_spaces_is_quoted_in_the_next_commands() -> None:
    said = scaffold.next_commands(Path("my data/recipes/x/qlora-v1.yaml"), Path("my data"))
    assert "'my data/recipes/x/qlora-v1.yaml' --output 'my data/runs/qlora-v1'" in said
