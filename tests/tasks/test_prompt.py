"""A case becomes the same tokens everywhere, and neither its question nor its answer is ever cut."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from project import ROOT
from transformers import PreTrainedTokenizerBase

from osler.errors import InputError
from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection
from osler.recipe.strict_yaml import read_yaml
from osler.tasks.prompt import Prompt, TooLong, completion, completions, load_prompt

TASKS = ROOT / "tasks"
TEXT = "A 4-year-old boy has progressive muscle weakness, calf enlargement and a waddling gait."
ASK = Prompt("{{ text }}\nDiagnosis?", system="")

# Every published number was measured with these questions. To ask another one, make a new version of the task.
SHIPPED = {
    "agentclinic_medqa": "bdc8540dfa491e8dfe71c6964f51a5d49568fa4c5cc58fd4f15e9fd1f1cd8c0d",
    "dxbench": "3c701ec8a0db4df94ef1593c0a1795b97ec966ec5db883172e0766332e359ae2",
    "medqa": "6ace7d2ab04e7309f534dab0f0b258d7ab311449d580b6fc218ee42e22684ebc",
    "mmlu_medical": "6ace7d2ab04e7309f534dab0f0b258d7ab311449d580b6fc218ee42e22684ebc",
    "pubmedqa": "6ace7d2ab04e7309f534dab0f0b258d7ab311449d580b6fc218ee42e22684ebc",
    "rare_disease": "f4d81bf424e8a18071346dbee068f1f83f827460f019cfd6ed3dff57e1c647ab",
    "symptom_to_diagnosis": "f4d81bf424e8a18071346dbee068f1f83f827460f019cfd6ed3dff57e1c647ab",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: BaseSection) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny_base)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_prompt_does_not_change_unnoticed(name: str) -> None:
    content = read_yaml(TASKS / name / "task.yaml")
    template = (TASKS / name / content["prompt"]).read_bytes().decode()
    assert Prompt(template, content["system"]).sha256 == SHIPPED[name]


@pytest.mark.parametrize(
    "changed", [Prompt("{{ text }}\nDiagnosis? ", ""), Prompt(ASK.template, None), Prompt("", "x")]
)
def test_any_change_of_a_prompt_changes_its_hash(changed: Prompt) -> None:
    assert changed.sha256 != ASK.sha256
    assert Prompt(ASK.template, ASK.system).sha256 == ASK.sha256


def test_the_model_reads_the_question_and_then_its_own_turn_begins(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.decode(ASK.encode(tokenizer, TEXT)) == (
        f"<|im_start|>system\n<|im_end|>\n<|im_start|>user\n{TEXT}\nDiagnosis?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_prompt_without_system_has_no_such_turn(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = Prompt(ASK.template, None).encode(tokenizer, TEXT)
    assert tokenizer.decode(tokens).startswith(f"<|im_start|>user\n{TEXT}")


def test_a_model_that_refuses_a_system_turn_is_asked_without(tokenizer: PreTrainedTokenizerBase) -> None:
    gemma = copy.deepcopy(tokenizer)
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    gemma.chat_template = refusal + str(tokenizer.chat_template)
    assert ASK.encode(gemma, TEXT) == Prompt(ASK.template, None).encode(tokenizer, TEXT)


def test_a_model_without_a_chat_template_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    base = copy.deepcopy(tokenizer)
    base.chat_template = None
    with pytest.raises(InputError, match="no chat template; use an instruct model"):
        ASK.encode(base, TEXT)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{ text }}\n{{ nope }}?", "line 2: {{ nope }} is not in a case"),
        ("{{ text }}\n\n{% include 'other' %}", "line 3: a statement (include)"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
            "line 1: a statement (for)",
        ),
        ("{{ text }}{{ 'a' * 3000000000 }}", "line 1: an expression (mul)"),
        ("{{ text }}\n{{ lipsum(n=1000000) }}", "line 2: an expression (call)"),
        ("{{ text.__class__.__mro__[1].__subclasses__() }}", "line 1: an expression (call)"),
        ("{{ text | upper }}", "line 1: an expression (filter)"),
        ("Text:\n{{ text", "line 2: unexpected end of template"),
        ("{{ text }}{{ " + "(" * 9_000, "line 1: brackets without end"),
        ("{{ text }}\n\0", "line 2: a NUL character"),
    ],
)
def test_a_template_places_a_case_and_runs_nothing(template: str, line: str) -> None:
    with pytest.raises(InputError) as error:
        Prompt(template, None).messages("fever")
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_the_template_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    shutil.copy(TASKS / "symptom_to_diagnosis" / "task.yaml", tmp_path)
    for template, reason in [("{{ text }}\n{{ txt }}", "line 2: {{ txt }}"), ("Which?", "{{ text }} is not in it")]:
        (tmp_path / "prompt.jinja").write_text(template)
        with pytest.raises(InputError) as error:
            load_prompt(tmp_path)
        assert str(error.value).startswith(f"{tmp_path / 'prompt.jinja'}: {reason}")


def test_what_a_patient_says_is_no_template(tokenizer: PreTrainedTokenizerBase) -> None:
    said = "{{ 7 * 7 }} {% raise %} {# fever #} & <pain>"
    assert f"user\n{said}\nDiagnosis?" in tokenizer.decode(ASK.encode(tokenizer, said))


def test_the_last_newline_of_a_template_is_part_of_the_question() -> None:
    assert Prompt("{{ text }}\n\n", None).messages(TEXT) == [{"role": "user", "content": f"{TEXT}\n\n"}]


def test_options_are_shown_one_a_line_in_their_order() -> None:
    choice = Prompt("{{ text }}\n{{ options }}\nWhich?", None)
    options = {"A": "Gout", "B": "{{ Frostbite }} & <pain>"}
    assert choice.messages("A red toe.", options) == [
        {"role": "user", "content": "A red toe.\nA. Gout\nB. {{ Frostbite }} & <pain>\nWhich?"}
    ]
    with pytest.raises(InputError, match="options"):
        choice.messages("A red toe.")


def test_options_are_never_cut(tokenizer: PreTrainedTokenizerBase) -> None:
    choice = Prompt("{{ text }}\n{{ options }}\nWhich?", "")
    options = {"A": "Noonan syndrome", "B": "gout"}
    whole = len(choice.encode(tokenizer, TEXT, options))
    tokens, cut = choice.encode_within(tokenizer, TEXT, whole - 5, options)
    assert cut
    assert "\nA. Noonan syndrome\nB. gout\nWhich?" in tokenizer.decode(tokens)


def test_a_text_that_fits_is_left_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = ASK.encode(tokenizer, TEXT)
    for room in (None, len(tokens), len(tokens) + 1):
        assert ASK.encode_within(tokenizer, TEXT, room) == (tokens, False)


@pytest.mark.parametrize(
    "text", [TEXT, "Naïve Ärzte: 37,8 °C 🤒🤒 – 熱がある。 " * 3, "x" * 80], ids=["English", "UTF-8", "x"]
)
def test_only_the_end_of_a_text_is_ever_cut(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    whole, empty = ASK.encode(tokenizer, text), ASK.encode(tokenizer, "")
    opening = tokenizer.decode(empty).partition("\nDiagnosis?")
    for room in range(len(empty), len(whole)):
        tokens, cut = ASK.encode_within(tokenizer, text, room)
        assert cut
        assert len(tokens) <= room
        start, question, end = tokenizer.decode(tokens).partition("\nDiagnosis?")
        assert (question, end) == opening[1:]
        # A character that was cut in two is written as \ufffd.
        assert text.startswith(start.removeprefix(opening[0]).rstrip("\ufffd"))


def test_no_more_is_cut_than_has_to_be(tokenizer: PreTrainedTokenizerBase) -> None:
    whole = len(ASK.encode(tokenizer, TEXT))
    tokens, _ = ASK.encode_within(tokenizer, TEXT, whole - 5)
    assert len(tokens) > whole - 10


def test_no_room_for_the_question_is_refused_with_its_length(tokenizer: PreTrainedTokenizerBase) -> None:
    needed = len(ASK.encode(tokenizer, ""))
    with pytest.raises(TooLong) as error:
        ASK.encode_within(tokenizer, TEXT, needed - 1)
    assert error.value.tokens == needed


def test_an_answer_is_the_label_and_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    *label, end = completion(tokenizer, "Noonan syndrome")
    assert tokenizer.decode(label) == "Noonan syndrome"
    assert end == tokenizer.eos_token_id
    assert end not in label
    both = completions(tokenizer, {"Noonan syndrome": "Noonan syndrome", "gout": "gout"})
    assert both == {"Noonan syndrome": [*label, end], "gout": completion(tokenizer, "gout")}


def test_a_label_that_would_end_the_answer_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(InputError, match="reads the label"):
        completion(tokenizer, "gout<|im_end|>")
    with pytest.raises(InputError, match="endraw"):
        ASK.listing({"1": "gout{% endraw %}{{ text }}"})


def test_a_listing_shows_every_label_above_the_case_and_has_a_hash_of_its_own() -> None:
    labels = {"1": "Noonan syndrome", "2": "{{ strange }} syndrome, {% type %} 2"}
    listing = ASK.listing(labels)
    (_, user) = listing.messages(TEXT)
    assert user["content"].endswith(f"\n- Noonan syndrome\n- {labels['2']}\n\n{TEXT}\nDiagnosis?")
    hashes = {ASK.sha256, listing.sha256, ASK.listing({"1": "Noonan syndrome"}).sha256}
    assert len(hashes) == 3
    assert ASK.listing(dict(labels)).sha256 == listing.sha256
