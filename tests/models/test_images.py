"""What a model is given of an image is what its own processor makes of it, in training and in scoring."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from drawings import png, tiny, write_squares
from transformers import AutoProcessor
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from osler.errors import InputError
from osler.models import Images, load_base, load_images, load_tokenizer
from osler.recipe import BaseSection
from osler.scoring import LabelScorer, LabelTrie, Layout, Seen, Way, prove, score
from osler.tasks import Case, Task, case_image, completions, load_task
from osler.training.trainer import ImageCollator

FAMILIES = ("smolvlm-256m", "medgemma-4b")


class Base(NamedTuple):
    section: BaseSection
    tokenizer: Any
    images: Images
    model: Any
    processor: Any  # as transformers loads it, from the same folder
    task: Task
    cases: list[Case]


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest, tiny_base: BaseSection, tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp(request.param)
    section = BaseSection(str(tiny(request.param, tiny_base.model, folder / "base")), attn_implementation="eager")
    tokenizer = load_tokenizer(section)
    task_folder = write_squares(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(folder / "data"))
        task = load_task(task_folder)
        cases = task.source.split("test")[:4]
    assert len({case.image.size for case in cases if case.image}) == 2, "of two sizes, as users' images are"
    processor = AutoProcessor.from_pretrained(section.model, backend="pil")
    model = load_base(section).eval()
    return Base(section, tokenizer, load_images(section, tokenizer), model, processor, task, cases)


def asked(base: Base, case: Case) -> str:
    """The prompt as the processor's chat template writes it."""
    content = [{"type": "image"}, {"type": "text", "text": base.task.prompt.messages(case.text)[0]["content"]}]
    return str(base.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))


def test_a_batch_to_train_on_is_the_one_that_trl_makes(base: Base) -> None:
    labels = completions(base.tokenizer, base.task.labels)
    examples, theirs = [], []
    for row, case in enumerate(base.cases):
        assert case.image
        prompt = base.task.prompt.encode(base.tokenizer, case.text, image=base.images.written(case.image))
        answer = labels[case.label]
        examples.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer, "row": row})
        theirs.append(
            {
                "images": [case.image.read()],
                "prompt": asked(base, case),
                "completion": case.label + base.tokenizer.eos_token,
            }
        )
    ours = ImageCollator(base.tokenizer.pad_token_id, base.images, base.cases)(examples)
    trl = DataCollatorForVisionLanguageModeling(base.processor, completion_only_loss=True)(theirs)
    assert set(ours) == set(trl)
    for name, tensor in trl.items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("way", ["shared", "plain"])
def test_every_label_has_the_probability_that_a_plain_call_with_the_image_gives_it(base: Base, way: Way) -> None:
    found = all_scores(base, base.cases, way)
    for case, scores in zip(base.cases, found, strict=True):
        for label, logp in zip(base.task.labels, scores.tolist(), strict=True):
            assert logp == pytest.approx(alone(base, case, label), abs=1e-4), (case.case_id, label)


def all_scores(base: Base, cases: list[Case], way: Way) -> list[torch.Tensor]:
    layout = Layout(LabelTrie(completions(base.tokenizer, base.task.labels)), normalised=False)
    seen = Seen(base.images, [case.image for case in cases if case.image])
    prompts = [
        base.task.prompt.encode(base.tokenizer, case.text, image=base.images.written(image))
        for case, image in zip(cases, seen.of, strict=True)
    ]
    return score(base.model, prompts, [layout] * len(prompts), way, seen)


@torch.inference_mode()
def alone(base: Base, case: Case, label: str) -> float:
    """The log-probability of a label, by transformers alone: its processor, its model, one call."""
    assert case.image
    text = asked(base, case) + label + base.tokenizer.eos_token
    inputs = base.processor(text=[text], images=[[case.image.read()]], add_special_tokens=False, return_tensors="pt")
    ids = inputs["input_ids"][0]
    logp = base.model(**inputs, use_cache=False).logits[0].float().log_softmax(-1)
    n = len(completions(base.tokenizer, {label: label})[label])
    return float(logp[range(len(ids) - n - 1, len(ids) - 1), ids[-n:]].sum())


def test_the_answer_depends_on_what_is_to_be_seen(base: Base) -> None:
    one, other = (Case("a", "A square.", "dark", image=case_image(None, png(grey), "row")) for grey in (30, 220))
    black, white = all_scores(base, [one, other], "shared")
    assert float((black - white).abs().max()) > 1e-3
    assert torch.allclose(all_scores(base, [other], "shared")[0], white, atol=1e-5), (
        "nor on what is beside it in a batch"
    )


def test_a_text_that_names_the_token_of_an_image_shows_none(base: Base) -> None:
    (case, *_) = base.cases
    assert case.image
    written = base.images.written(case.image)
    plain = base.task.prompt.encode(base.tokenizer, "A square.", image=written)
    image_token = base.tokenizer.decode([base.images.token])
    tricky = f"{base.images.placeholder} {image_token} A square."
    assert base.task.prompt.encode(base.tokenizer, tricky, image=written).count(base.images.token) == plain.count(
        base.images.token
    )


def test_a_prompt_too_long_is_cut_in_its_text_and_never_in_its_image(base: Base) -> None:
    (case, *_) = base.cases
    assert case.image
    written = base.images.written(case.image)
    shortest = len(base.task.prompt.encode(base.tokenizer, "", image=written))
    tokens, cut = base.task.prompt.encode_within(base.tokenizer, "A square. " * 50, shortest + 8, image=written)
    assert cut
    assert len(tokens) <= shortest + 8
    assert tokens.count(base.images.token) == base.images.tokens(case.image).count(base.images.token)


def test_a_model_whose_images_cannot_share_a_pass_is_scored_plainly(
    base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert prove(base.model, images=base.images) == "shared"
    wrong = lambda ids: torch.ones(len(ids), len(ids), dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr(base.images, "attending", wrong)
    with caplog.at_level(logging.WARNING):
        assert prove(base.model, images=base.images) == "plain"
    assert "do not share one forward pass" in caplog.text


def test_a_text_task_runs_on_a_base_of_images_and_text(base: Base) -> None:
    scorer = LabelScorer(base.model, base.tokenizer, base.task.prompt, base.task.labels, normalised=True)
    (answer,) = scorer.answer([scorer.encode(Case("a", "A square.", "dark"))], [Case("a", "A square.", "dark")])
    assert sum(answer.probabilities or ()) == pytest.approx(1)


def test_a_base_that_reads_texts_alone_is_refused(tiny_base: BaseSection) -> None:
    with pytest.raises(InputError, match="reads no images, and the task has some; take a base of images and text"):
        load_images(tiny_base, load_tokenizer(tiny_base))


def test_a_base_whose_processor_makes_several_pictures_of_one_is_refused(base: Base) -> None:
    images = [case.image for case in base.cases[:1] if case.image]

    class Cropping:
        def __call__(self, shown: Any, return_tensors: str) -> dict[str, Any]:
            return {"pixel_values": torch.zeros(3, 3, 32, 32), "num_crops": [2]}

    class Processor:
        tokenizer, image_token, model_input_names = base.tokenizer, base.images.placeholder, ()
        image_processor = Cropping()

    with pytest.raises(InputError, match="several pictures of one"):
        Images(Processor(), base.images.token).inputs(images)


def test_the_template_that_older_processors_have_in_a_file_of_its_own_is_found(base: Base, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "older"
    shutil.copytree(base.section.model, folder)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert load_tokenizer(BaseSection(str(folder))).chat_template == template
