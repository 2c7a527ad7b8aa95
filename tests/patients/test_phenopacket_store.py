"""A release of Phenopacket Store becomes the file that the task reads its published patients from. No network."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, environment, individual, script, write_store

from osler.errors import InputError
from osler.patients import phenopacket_store
from osler.patients.patient import Patient
from osler.patients.phenopacket_store import read_patients
from osler.terminology.hpo import Ontology, read_ontology

GLOWING = {"type": {"id": "HP:9000010", "label": "Glowing skin"}}
HUMMING = {"type": {"id": "HP:9000020", "label": "Humming"}}
DISEASE = {"term": {"id": "OMIM:900001", "label": "Lantern disease"}}
OTHER = {"term": {"id": "OMIM:900002", "label": "Quillby disease"}}


def interpreted(status: str, disease: dict[str, Any]) -> dict[str, Any]:
    return {"id": "i", "progressStatus": status, "diagnosis": {"disease": disease["term"]}}


ADA = {
    "id": "PMID_901_Ada",
    "subject": {"id": "Ada", "sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P5Y6M"}}},
    "phenotypicFeatures": [GLOWING, {**HUMMING, "excluded": True}],
    "diseases": [{**DISEASE, "onset": {"ontologyClass": {"id": "HP:0003577", "label": "Congenital onset"}}}],
    "metaData": {
        "created": "2099-01-31T12:00:00Z",
        "externalReferences": [{"id": "PMID:901", "description": "A girl that glows"}],
    },
}
CONDENSED_ADA = {
    "case_id": "PMID_901_Ada",
    "cohort": "LAMP1X",
    "references": ["PMID:901"],
    "disease_id": "OMIM:900001",
    "disease": "Lantern disease",
    "sex": "female",
    "age": "P5Y6M",
    "onset": "Congenital onset",
    "observed": [["HP:9000010", "Glowing skin"]],
    "excluded": [["HP:9000020", "Humming"]],
}


def release(folder: Path, cohorts: dict[str, list[dict[str, Any] | str]]) -> Path:
    """A zip file as the store's releases are: a folder, a table in it, and a folder of phenopackets for each cohort."""
    root = folder / "release"
    for cohort, individuals in cohorts.items():
        (root / "phenopacket_store" / cohort).mkdir(parents=True)
        for number, packet in enumerate(individuals):
            text = packet if isinstance(packet, str) else json.dumps(packet)
            (root / "phenopacket_store" / cohort / f"{number}.json").write_text(text)
    (root / "phenopacket_store" / "phenopacket_store.summary.tsv").write_text("patient_id\tcohort\n")
    return Path(shutil.make_archive(str(folder / "all_phenopackets"), "zip", root))


def only(folder: Path, **changes: Any) -> dict[str, Any]:
    """What becomes of Ada with these changes."""
    (individual,) = phenopacket_store.read_release(release(folder, {"LAMP1X": [{**ADA, **changes}]}))
    return individual


def test_the_individuals_of_a_release_are_the_patients_that_the_task_reads(tmp_path: Path) -> None:
    ben = {**ADA, "id": "PMID_902_Ben", "subject": {"id": "Ben", "sex": "MALE"}, "diseases": [OTHER]}
    archive = release(tmp_path, {"QUIL2": [ben], "LAMP1X": [{**ADA, "id": "PMID_903_Cy", "subject": {}}, ADA]})
    path = tmp_path / "data" / "phenopacket_store" / "cases.jsonl.gz"
    phenopacket_store.write_individuals(phenopacket_store.read_release(archive), path)
    found = read_patients(path, read_ontology(ROOT / "tests" / "golden" / "mini.obo")).patients
    ada = Patient(
        case_id="OMIM:900001/LAMP1X/PMID_901_Ada",
        disease="OMIM:900001",
        present=("HP:9000010",),
        absent=("HP:9000020",),
        sex="female",
        age=5.5,
        publications=("PMID:901",),
    )
    assert found[0] == ada
    assert [patient.case_id for patient in found[1:]] == [
        "OMIM:900001/LAMP1X/PMID_903_Cy",
        "OMIM:900002/QUIL2/PMID_902_Ben",
    ], "sorted by cohort, then by case id"
    assert [(patient.sex, patient.age) for patient in found[1:]] == [(None, None), ("male", None)]


def test_an_individual_is_written_as_in_the_condensed_copy_that_numbers_were_published_with(tmp_path: Path) -> None:
    assert list(only(tmp_path).items()) == list(CONDENSED_ADA.items())


@pytest.mark.parametrize(
    ("time", "written"),
    [
        ({"age": {"iso8601duration": "P3M"}}, "P3M"),
        ({"ontologyClass": {"id": "HP:0003593", "label": "Infantile onset"}}, "Infantile onset"),
        ({"gestationalAge": {"weeks": 32}}, None),
        ({}, None),
    ],
)
def test_ages_and_onsets_are_durations_or_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, time: dict[str, Any], written: str | None
) -> None:
    individual = only(tmp_path, subject={"timeAtLastEncounter": time}, diseases=[{**DISEASE, "onset": time}])
    assert (individual["age"], individual["onset"], individual["sex"]) == (written, written, "unknown_sex")
    assert ("left out 2 ages and onsets" in caplog.text) == ("gestationalAge" in time)


def test_a_disease_that_was_ruled_out_is_not_the_diagnosis(tmp_path: Path) -> None:
    assert only(tmp_path, diseases=[{**OTHER, "excluded": True}, DISEASE])["disease_id"] == "OMIM:900001"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"diseases": [DISEASE, OTHER]}, id="two diseases"),
        pytest.param({"diseases": []}, id="no disease"),
        pytest.param({"interpretations": [interpreted("UNSOLVED", DISEASE)]}, id="not solved"),
        pytest.param({"interpretations": [interpreted("SOLVED", OTHER)]}, id="solved as another disease"),
        pytest.param({"metaData": {"externalReferences": [{"id": "DOI:10.1/901"}]}}, id="no PMID"),
    ],
)
def test_who_has_no_one_diagnosis_or_publication_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    archive = release(tmp_path, {"LAMP1X": [{**ADA, **changes, "id": "PMID_904_Di"}, ADA]})
    assert phenopacket_store.read_release(archive) == [CONDENSED_ADA]
    assert "1 individuals" in caplog.text


def test_the_same_release_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    individuals = phenopacket_store.read_release(release(tmp_path, {"LAMP1X": [ADA]}))
    phenopacket_store.write_individuals(individuals, tmp_path / "now.gz")
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    phenopacket_store.write_individuals(individuals, tmp_path / "later.gz")
    assert (tmp_path / "now.gz").read_bytes() == (tmp_path / "later.gz").read_bytes()
    assert {path.name for path in tmp_path.glob("*.gz*")} == {"now.gz", "later.gz"}, "nothing half-written is left"


def damaged(folder: Path, kind: str) -> Path:
    archive = folder / "all_phenopackets.zip"
    if kind == "bad phenopacket":
        return release(folder, {"LAMP1X": [ADA, '{"phenotypicFeatures": "all of them"}']})
    if kind == "bad JSON":
        return release(folder, {"LAMP1X": ['{"id": "PMID_901_Ada",\n']})
    if kind == "no phenopackets":
        return release(folder, {"LAMP1X": []})
    if kind == "another zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("notes.txt", "no folder here")
    if kind == "no zip":
        archive.write_text("404: Not Found")
    if kind == "half a download":
        whole = release(folder, {"LAMP1X": [ADA]})
        whole.write_bytes(whole.read_bytes()[:-200])
    return archive


@pytest.mark.parametrize(
    "kind", ["bad phenopacket", "bad JSON", "no phenopackets", "another zip", "no zip", "half a download", "missing"]
)
def test_what_is_no_release_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    archive = damaged(tmp_path, kind)
    with pytest.raises(InputError) as error:
        phenopacket_store.read_release(archive)
    assert str(error.value).startswith(f"{archive}: ")
    assert "\n" not in str(error.value)
    assert ("LAMP1X/" in str(error.value)) == kind.startswith("bad"), "the phenopacket is named"


def test_the_release_is_downloaded_from_where_the_script_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = release(tmp_path, {"LAMP1X": [ADA]})
    opened = []

    def urlopen(url: str, **_: Any) -> io.BytesIO:
        opened.append(url)
        return io.BytesIO(archive.read_bytes())

    monkeypatch.setattr("ppktstore.registry._github.urlopen", urlopen)
    (tmp_path / "empty").mkdir()
    downloaded = phenopacket_store.download_release("0.1.27", tmp_path / "empty")
    assert opened == [phenopacket_store.release_url("0.1.27")]
    assert phenopacket_store.read_release(downloaded) == [CONDENSED_ADA]


# ── the script ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_script_converts_a_release_and_says_what_to_export(tmp_path: Path) -> None:
    archive = release(tmp_path, {"LAMP1X": [ADA, {**ADA, "id": "PMID_901_Bea"}]})
    done = script(tmp_path, "fetch_phenopackets", "--archive", archive, "--output", "my data")
    assert done.returncode == 0, done.stderr
    store = Path("my data", "phenopacket_store", "cases.jsonl.gz")
    size = f"{(tmp_path / store).stat().st_size / 1000:,.0f} kB"
    assert done.stdout.splitlines() == [
        f"{store}: 2 individuals, 1 diseases, 1 publications, {size}",
        f"export OSLER_DATA_DIR='{tmp_path / 'my data'}'",
    ]
    with gzip.open(tmp_path / store, "rt") as file:
        assert json.loads(file.readline()) == CONDENSED_ADA


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a script that ended with "your input is wrong"."""
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_without_a_network_the_script_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    done = script(tmp_path, "fetch_phenopackets", "--output", "data")
    address = phenopacket_store.release_url(phenopacket_store.RELEASE)
    assert done.stdout == f"downloading {address} (about 20 MB)\n", "said before it is tried"
    line = refused(done)
    assert address in line
    assert line.endswith("download it by hand and pass --archive FILE.zip")
    assert not (tmp_path / "data").exists()


def test_an_archive_or_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    assert "nowhere.zip" in refused(
        script(tmp_path, "fetch_phenopackets", "--archive", "nowhere.zip", "--output", "data")
    )
    archive = release(tmp_path, {"LAMP1X": [ADA]})
    line = refused(script(tmp_path, "fetch_phenopackets", "--archive", archive, "--output", archive))
    assert f"{archive}/phenopacket_store/cases.jsonl.gz: cannot be written" in line


def test_help_waits_for_neither_torch_nor_the_toolkit() -> None:
    code = "import sys, runpy; sys.argv = ['fetch_phenopackets', '--help']\n"
    code += "try: runpy.run_path('scripts/fetch_phenopackets.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\nassert not {'torch', 'ppktstore'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert phenopacket_store.RELEASE in done.stdout


# ── the condensed file ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(ROOT / "tests" / "golden" / "mini.obo")


def store(tmp_path: Path, *individuals: Any) -> Path:
    path = tmp_path / "cases.jsonl.gz"
    write_store(path, *individuals)
    return path


def test_a_phenopacket_is_read_as_it_is(tmp_path: Path, ontology: Ontology) -> None:
    path = store(tmp_path, individual(excluded=[["HP:9000030", "Quillby sign"]]))
    assert read_patients(path, ontology).patients == (
        Patient(
            case_id="OMIM:900001/LAMP1X/PMID_901_Ada",
            disease="OMIM:900001",
            present=("HP:9000010",),
            absent=("HP:9000030",),
            sex="female",
            age=5.5,
            publications=("PMID:901",),
        ),
    )


def test_findings_are_those_of_the_ontology_under_their_current_ids_each_once(
    tmp_path: Path, ontology: Ontology
) -> None:
    unknown, obsolete, onset, any_sign = "HP:9999999", "HP:9000098", "HP:0003577", "HP:0000118"
    observed = ["HP:9000911", unknown, "HP:9000011", obsolete, onset, any_sign, "HP:9000020"]
    excluded = [unknown, "HP:9000012", "HP:9000020", "HP:9000912"]
    case = individual(observed=[[i, ""] for i in observed], excluded=[[i, ""] for i in excluded])
    (patient,) = read_patients(store(tmp_path, case), ontology).patients
    assert patient.present == ("HP:9000011", "HP:9000020")
    assert patient.absent == ("HP:9000012",), "what is observed is not excluded"


@pytest.mark.parametrize(
    ("sex", "expected"), [("male", "male"), ("female", "female"), ("unknown", None), ("other", None), (None, None)]
)
def test_a_sex_that_is_not_known_stays_unknown(
    tmp_path: Path, ontology: Ontology, sex: str | None, expected: str | None
) -> None:
    assert read_patients(store(tmp_path, individual(sex=sex)), ontology).patients[0].sex == expected


def test_individuals_without_a_known_finding_are_left_out(tmp_path: Path, ontology: Ontology) -> None:
    nothing, newer = individual(observed=[]), [["HP:9999999", "Newer than this release"]]
    unknown = individual(case_id="Bo", observed=newer)
    only_excluded = individual(case_id="Cy", observed=[], excluded=[["HP:9000010", "Glowing skin"]])
    read = read_patients(store(tmp_path, nothing, unknown, only_excluded), ontology)
    assert (read.patients, read.individuals) == ((), 3)
    assert read.left_out == {"no finding present that the ontology knows": 3}


WITHOUT_SEX = {key: value for key, value in individual().items() if key != "sex"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(WITHOUT_SEX, id="no sex"),
        pytest.param(["a", "list"], id="a list"),
        pytest.param(individual(observed=["HP:9000010"]), id="findings without labels"),
        pytest.param(individual(age=5), id="an age that is a number"),
        pytest.param(individual(disease_id=None), id="no disease"),
        pytest.param(individual(disease=" "), id="a name of blanks"),
        pytest.param(individual(references=[""]), id="a publication without a name"),
        pytest.param(individual(references=["doi:10.1/x"]), id="no PMID"),
        pytest.param(individual(excluded=None), id="null for no findings"),
    ],
)
def test_a_line_that_is_no_phenopacket_is_named(tmp_path: Path, ontology: Ontology, bad: Any) -> None:
    path = store(tmp_path, individual(), bad)
    with pytest.raises(InputError, match=rf"^{path}:2: "):
        read_patients(path, ontology)


def test_a_publication_is_one_however_it_is_spelled(tmp_path: Path, ontology: Ontology) -> None:
    spelled = ["PMID:901", " pmid: 0901 ", "PMID:901"]
    (patient,) = read_patients(store(tmp_path, individual(references=spelled)), ontology).patients
    assert patient.publications == ("PMID:901",)


def test_a_file_that_is_empty_or_begins_with_a_mark_of_its_encoding(tmp_path: Path, ontology: Ontology) -> None:
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match=rf"^{path}: is empty; fetch it again"):
        read_patients(path, ontology)
    path.write_bytes(gzip.compress(b"\xff\xfe"))
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_patients(path, ontology)
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(individual()).encode()))
    assert len(read_patients(path, ontology).patients) == 1


def test_a_line_that_is_no_json_is_named(tmp_path: Path, ontology: Ontology) -> None:
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"case_id": "PMID_901_Ada",\n'))
    with pytest.raises(InputError, match=rf"^{path}:1: "):
        read_patients(path, ontology)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-12], gzip.decompress], ids=["cut off", "not compressed"])
def test_a_store_that_was_not_downloaded_to_its_end_is_named(tmp_path: Path, ontology: Ontology, damage: Any) -> None:
    path = store(tmp_path, *[individual(case_id=f"PMID_901_{n}") for n in range(200)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=str(path)):
        read_patients(path, ontology)


def test_an_individual_without_a_publication_is_left_out_counted_and_named(
    tmp_path: Path, ontology: Ontology, caplog: pytest.LogCaptureFixture
) -> None:
    read = read_patients(store(tmp_path, individual(), individual(case_id="Bo", references=[])), ontology)
    assert [patient.publications for patient in read.patients] == [("PMID:901",)]
    assert read.left_out == {"no publication": 1}
    assert "OMIM:900001/LAMP1X/Bo" in caplog.text


def test_what_is_done_to_findings_is_counted_and_unknown_ids_are_named(
    tmp_path: Path, ontology: Ontology, caplog: pytest.LogCaptureFixture
) -> None:
    palms, old_palms, skin, humming, onset = "HP:9000011", "HP:9000911", "HP:9000010", "HP:9000020", "HP:0003577"
    observed, excluded = [old_palms, humming, onset, "HP:9999998", "HP:9000098"], [skin, humming, "HP:9999998"]
    case = individual(observed=[[i, ""] for i in observed], excluded=[[i, ""] for i in excluded])
    read = read_patients(store(tmp_path, case), ontology)
    assert (read.patients[0].present, read.patients[0].absent) == ((palms, humming), ())
    assert read.findings == {
        "absent, though one below is present: dropped": 1,  # glowing skin, while the palms glow
        "no phenotypic abnormality: dropped": 1,
        "obsolete id: the current one taken": 1,
        "present and absent: taken as present": 1,
        "unknown id: dropped": 3,  # HP:9000098 is obsolete, and no id stands for it now
    }
    assert read.unknown == ("HP:9000098", "HP:9999998")
    assert "2099-01-31 does not know are left out: HP:9000098, HP:9999998" in caplog.text


def test_a_case_id_that_is_there_twice_is_refused_with_both_lines(tmp_path: Path, ontology: Ontology) -> None:
    path = store(tmp_path, individual(), individual(case_id="Bo"), individual(sex="male"))
    with pytest.raises(InputError) as error:
        read_patients(path, ontology)
    assert str(error.value).startswith(
        f"{path}:3: the case OMIM:900001/LAMP1X/PMID_901_Ada is there already, on line 1"
    )


def test_references_that_are_no_list_are_named(tmp_path: Path, ontology: Ontology) -> None:
    with pytest.raises(InputError, match="expected a list"):
        read_patients(store(tmp_path, individual(references="PMID:901")), ontology)


def test_the_same_individuals_in_another_order_are_the_same_patients(tmp_path: Path, ontology: Ontology) -> None:
    cases = [individual(case_id=str(n), disease=f"Lantern disease{'s' * (n % 3 == 0)}") for n in range(5)]
    one, other = (read_patients(store(tmp_path, *order), ontology) for order in (cases, cases[::-1]))
    assert (one.patients, one.diseases) == (other.patients, other.diseases)
    assert one.diseases == {"OMIM:900001": "Lantern disease"}, "three of five call it so"
    assert one.sha256 != other.sha256
