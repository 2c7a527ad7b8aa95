"""A task with images, trained and scored as a user does it."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawings import png, tiny, write_squares
from huggingface_hub import ModelCard
from PIL import Image
from project import make, script
from transformers import AutoProcessor

from osler.errors import InputError
from osler.models import load_images, load_merged, load_tokenizer, load_tuned
from osler.publishing import card
from osler.publishing.about import WITH_IMAGE
from osler.publishing.folder import build
from osler.recipe import BaseSection, load_recipe
from osler.reproduction import rescoring
from osler.runs import Run
from osler.scoring import LabelScorer
from osler.storage import read_json
from osler.tasks import Case, case_image, load_task


def make_project(folder: Path, base: Path, **sections: Any) -> Path:
    recipe = make(folder, BaseSection(str(base)), **sections)
    write_squares(folder)
    content = yaml.safe_load(recipe.read_text())
    content["task"] = {"name": "squares", "version": 1}
    content["train"]["max_length"] = 256
    content["lora"]["exclude_modules"] = ".*(vision_model|connector).*"
    content["evaluation"] |= {"splits": ["validation", "test"], "baselines": ["majority", "tfidf_svm"]}
    if "eval_steps" in content["train"]:
        del content["train"]["save_steps"]
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    return recipe


@pytest.fixture(scope="module")
def smolvlm(tiny_base: BaseSection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("smolvlm-256m", tiny_base.model, tmp_path_factory.mktemp("smolvlm"))


@pytest.mark.slow
def test_images_are_trained_on_scored_beside_the_baselines_and_published(
    smolvlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"metric_for_best_model": "accuracy", "eval_steps": 2, "max_steps": 2}
    recipe = make_project(tmp_path, smolvlm, train=train)
    trained = script(tmp_path, "train", recipe, "--output", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    run = Run(tmp_path / "run")
    assert (
        AutoProcessor.from_pretrained(run.adapter_path, backend="pil").image_processor.max_image_size["longest_edge"]
        == 32
    )
    report = read_json(run.data_report_path)
    assert report["truncated"] == 0
    assert sum(report["provenance"]["cases"].values()) == 40
    assert len(report["provenance"]["images_sha256"]) == 64
    scored = script(tmp_path, "evaluate", tmp_path / "run", "--merged")
    assert scored.returncode == 0, scored.stderr
    records = read_json(run.results_path())["records"]
    assert {record["split"] for record in records} == {"validation", "test"}
    assert set(records[0]["systems"]) == {"tiny-made-up@1.0.0", "tiny-made-up@1.0.0-merged", "majority", "tfidf_svm"}
    # What was scored is of these images: with another image behind a case, its answer belongs to another case.
    (test,) = [record for record in records if record["split"] == "test"]
    lines = run.prediction_path("squares", "test", "tiny-made-up@1.0.0").read_text().splitlines()
    assert len(lines) == test["n"]
    assert all(json.loads(line)["case_sha256"] for line in lines)
    assert AutoProcessor.from_pretrained(run.merged_path, backend="pil").image_processor.size["longest_edge"] == 64
    published = script(tmp_path, "publish", run.folder, "--repo-id", "jane/squares")
    assert "adapter_model.safetensors" in published.stdout, published.stderr
    failed = {line.split()[0] for line in published.stdout.splitlines() if line.endswith("PROBLEM")}
    assert not failed & {"weights", "evaluation", "identifiers", "secrets", "parity"}, published.stdout
    publication = run.folder / "publication"
    holds_no_image(publication, tmp_path / "data" / "squares")
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    rescoring.verify(publication, tmp_path / "tasks" / "squares")  # as it is read after a download
    answers_without_osler(publication, tmp_path)


def test_a_published_model_whose_image_tokens_attend_both_ways_is_asked_without_osler(
    tiny_base: BaseSection, tmp_path: Path
) -> None:
    base = tiny("medgemma-4b", tiny_base.model, tmp_path / "base")
    recipe = make_project(tmp_path, base, train={"max_steps": 2})
    recipe.write_text(recipe.read_text().replace("vision_model|connector", "vision_tower|multi_modal_projector"))
    for name, *arguments in (("train", recipe, "--output", tmp_path / "run"), ("evaluate", tmp_path / "run")):
        done = script(tmp_path, name, *arguments)
        assert done.returncode == 0, done.stderr
    build(Run(tmp_path / "run"), tmp_path / "published", "jane/squares", {}, {})
    answers_without_osler(tmp_path / "published", tmp_path)


def holds_no_image(publication: Path, images: Path) -> None:
    """Nothing of the author's images: neither a file, nor its bytes, nor its name."""
    pictures = [path for path in publication.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg", ".webp", ".tiff")]
    assert {path.parent.name for path in pictures} == {"figures"}
    texts = b"".join(path.read_bytes() for path in publication.rglob("*") if path.is_file())
    for image in images.glob("*.png"):
        assert image.read_bytes() not in texts
        assert f"{image.stem}.png".encode() not in texts.replace(b"image.png", b"")
        assert base64.b64encode(image.read_bytes())[:40] not in texts
    assert b"A square" not in texts


def answers_without_osler(publication: Path, folder: Path) -> None:
    """The card says what goes in, and its code gives the probabilities that Osler computes of the same image."""
    text = (publication / "README.md").read_text()
    card.check(text)
    assert ModelCard(text).data.pipeline_tag == "image-text-to-text"
    assert "given an image and what is said of it, it names one of 2 diagnoses" in text
    assert "asked with **one image and a text**" in text
    assert "`transformers`, `pillow`, `peft` are" in text
    assert read_json(publication / "chai.json")["trust_ingredients"]["ai_system_facts"][
        "output_and_input_data_types"
    ].startswith("One image and text in")
    upright = png(90, side=40, mode="RGB", format="JPEG")
    turned = Image.open(io.BytesIO(upright))
    metadata = turned.getexif()
    metadata[274] = 6  # on its side
    turned.save(folder / "image.png", exif=metadata)
    case = Case("x", WITH_IMAGE, "bright", image=case_image(folder / "image.png", None, "the image"))
    run = Run(publication)
    recipe = run.recipe()
    task, tokenizer = load_task(publication / "tasks" / "squares"), load_tokenizer(recipe.base)
    images = load_images(recipe.base, tokenizer)
    loaders = [lambda: load_tuned(recipe.base, publication)]
    if (publication / "merged").is_dir():
        loaders.insert(0, lambda: load_merged(recipe.base, publication / "merged"))
    codes = card.snippets(text)
    assert len(codes) == len(loaders)
    for code, load in zip(codes, loaders, strict=True):
        assert "osler" not in code
        local = re.sub(
            r'hf_hub_download\("jane/squares", "data_report.json", .*\)', f'"{publication}/data_report.json"', code
        )
        assert local != code
        found: dict[str, Any] = {}
        local = local.replace('"jane/squares"', json.dumps(str(publication)))
        exec(local.replace('"image.png"', json.dumps(str(folder / "image.png"))), found)
        scorer = LabelScorer(load(), tokenizer, task.prompt, task.labels, normalised=True, images=images)
        assert found["asked"] == scorer.encode(case)
        (answer,) = scorer.answer([found["asked"]], [case])
        expected = dict(zip(answer.ranked, answer.probabilities or (), strict=True))
        told = dict(zip(found["names"], found["probabilities"].tolist(), strict=True))
        assert told == pytest.approx(expected, abs=1e-5)


def test_a_run_goes_on_only_with_the_images_it_began_with(smolvlm: Path, tmp_path: Path) -> None:
    recipe = make_project(tmp_path, smolvlm)
    first = script(tmp_path, "train", recipe, "train.max_steps=2", "--output", tmp_path / "run")
    assert first.returncode == 0, first.stderr
    (tmp_path / "run" / "manifest.json").unlink()  # as a killed run has none
    for path in (tmp_path / "data" / "squares").glob("*.png"):
        path.write_bytes(png(1 + int(path.stem), side=24 + 8 * (int(path.stem) % 2)))
    again = script(tmp_path, "train", recipe, "train.max_steps=2", "--output", tmp_path / "run")
    assert again.returncode == 2
    assert "was trained on other rows" in again.stderr


def test_the_plan_counts_the_tokens_of_the_images_and_quotes_nobody(smolvlm: Path, tmp_path: Path) -> None:
    plan = script(tmp_path, "train", make_project(tmp_path, smolvlm), "--plan")
    assert plan.returncode == 0, plan.stderr
    assert "a row: 125 to 127" in plan.stdout, plan.stdout
    assert "A square" not in plan.stdout


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["loss={name: completion}", "train.packing=true"], "train.packing: not with the images of squares"),
        (
            ["loss={name: completion}", "train.padding_free=true", "train.max_length=null"],
            "train.padding_free: not with the images",
        ),
        (
            ["loss={name: completion}", "train.pad_to_multiple_of=8"],
            "train.pad_to_multiple_of: not with the images of squares",
        ),
        (
            [
                "head=classifier",
                "loss={name: cross_entropy}",
                "evaluation.scorer=classifier",
                "evaluation.baselines=[majority]",
            ],
            "head: classifier reads texts",
        ),
        (["augment={typos: 0.1}"], "augment: changes or mixes texts, and the cases of squares have images"),
        (["mixture={tasks: {made_up: {version: 1, weight: 1.0}}}"], "mixture: changes or mixes texts"),
        (
            ["task={name: made_up, version: 1}", "mixture={tasks: {squares: {version: 1, weight: 1.0}}}"],
            "its cases have images, which are learnt alone",
        ),
        (["evaluation.baselines=[ontology_naive_bayes]"], "takes patients as findings of an ontology"),
    ],
)
def test_what_images_cannot_be_together_with_is_refused(
    smolvlm: Path, tmp_path: Path, overrides: list[str], reason: str
) -> None:
    recipe = make_project(tmp_path, smolvlm)
    with pytest.raises(InputError) as refused:
        load_recipe(recipe, overrides)
    assert reason in str(refused.value).replace(" (override)", "")


def test_a_base_that_reads_no_images_is_refused_before_anything_is_loaded(
    tiny_base: BaseSection, tmp_path: Path
) -> None:
    recipe = make_project(tmp_path, Path(tiny_base.model))
    content = yaml.safe_load(recipe.read_text())
    del content["lora"]["exclude_modules"]
    recipe.write_text(yaml.safe_dump(content))
    refused = script(tmp_path, "train", recipe, "--output", tmp_path / "run")
    assert refused.returncode == 2
    assert "reads no images, and the task has some" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_an_answer_that_has_no_room_beside_its_image_is_refused(smolvlm: Path, tmp_path: Path) -> None:
    refused = script(
        tmp_path, "train", make_project(tmp_path, smolvlm), "train.max_length=64", "--output", tmp_path / "run"
    )
    assert refused.returncode == 2
    assert "without its text but with its image" in refused.stderr


def test_the_demo_is_drawn_alike_each_time_and_overwrites_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert script(tmp_path, "draw_discs", "--output", tmp_path / name, "--drawings", "8").returncode == 0
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert len(one) == 9
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    again = script(tmp_path, "draw_discs", "--output", tmp_path / "one")
    assert again.returncode == 2
    assert "has drawings already" in again.stderr
