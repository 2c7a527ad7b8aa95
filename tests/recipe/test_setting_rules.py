"""A setting that would be without effect, or end in a traceback once the model is loaded, is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import make

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.recipe.setting_rules import OPTIMIZERS, SCHEDULES

BASE = BaseSection(model="org/name", revision="a" * 40)
TRIE = "loss.name=label_trie"
COMPLETION = "loss={name: completion}"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project's recipe; nothing here loads its base."""
    folder = tmp_path_factory.mktemp("project")
    path = make(folder, BASE, base={"revision": "a" * 40})
    return path


WITHOUT_EFFECT = [
    # the loss is ours
    ([TRIE, "train.label_smoothing_factor=0.1"], "train.label_smoothing_factor"),
    ([TRIE, "train.average_tokens_across_devices=false"], "train.average_tokens_across_devices"),
    ([TRIE, "train.router_aux_loss_coef=0.1"], "train.router_aux_loss_coef"),
    # a switch is off
    (["train.activation_checkpointing_kwargs={use_reentrant: true}"], "train.activation_checkpointing: true"),
    (["train.torch_compile_backend=eager"], "train.torch_compile: true"),
    (["train.torch_compile_mode=default"], "train.torch_compile: true"),
    ([COMPLETION, "train.packing_strategy=bfd_split"], "train.packing: true"),
    (["train.run_name=a name"], "train.report_to"),
    (["train.project=a name"], "train.report_to"),
    (["train.report_to=wandb", "train.trackio_space_id=a"], "train.report_to: trackio"),
    (["train.dataloader_persistent_workers=true"], "train.dataloader_num_workers"),
    (["train.dataloader_multiprocessing_context=fork"], "train.dataloader_num_workers"),
    (["train.dataloader_prefetch_factor=2"], "train.dataloader_num_workers"),
    (["train.data_seed=1", "train.train_sampling_strategy=sequential"], "train_sampling_strategy: random"),
    # the optimizer or the schedule does not read it
    (["train.optim=sgd", "train.adam_beta1=0.8"], "optim sgd does not read it"),
    (["train.optim=lion_8bit", "train.adam_epsilon=0.1"], "optim lion_8bit does not read it"),
    (["train.optim_args=momentum=0.9"], "adamw_torch takes no arguments"),
    (["train.optim=sgd", "train.optim_args=momentun=0.9"], "did you mean momentum?"),
    (["train.lr_scheduler_type=constant", "train.warmup_steps=5"], "write constant_with_warmup"),
    (["train.lr_scheduler_type=constant", "train.lr_scheduler_kwargs={num_cycles: 2}"], "takes none"),
    # of PEFT
    (["lora.layers_pattern=layers"], "lora.layers_to_transform"),
    (["lora.ensure_weight_tying=true"], "lora.modules_to_save"),
]
TRACEBACKS = [
    (["train.eval_strategy=steps"], "metric_for_best_model and eval_steps say what is evaluated while training"),
    (["train.load_best_model_at_end=true"], "metric_for_best_model and eval_steps say"),
    (["train.lr_scheduler_type=greedy"], "train.lr_scheduler_type"),
    (["train.lr_scheduler_type=reduce_lr_on_plateau"], "train.lr_scheduler_type"),
    (["train.lr_scheduler_type=cosine_with_min_lr"], "needs one of min_lr and min_lr_rate"),
    (["train.lr_scheduler_type=warmup_stable_decay"], "needs num_decay_steps"),
    (["train.lr_scheduler_kwargs={nosuch: 1}"], "train.lr_scheduler_kwargs.nosuch"),
    (["train.lr_scheduler_type=cosine", "train.lr_scheduler_kwargs={num_cycles: many}"], "num_cycles"),
    (["train.lr_scheduler_type=polynomial", "train.lr_scheduler_kwargs={lr_end: 1}"], "not below train.learning_rate"),
    (["train.optim=galore_adamw"], "train.optim"),
    (["train.optim=schedule_free_adamw"], "train.optim"),
    (["train.optim=sgd", "train.optim_args=momentum"], "momentum= and a number"),
    (["train.optim=sgd", "train.optim_args=nesterov=true"], "needs a momentum"),
    (["train.debug=nosuch"], "underflow_overflow"),
    (["train.report_to=null"], "train.report_to"),
    (["train.torch_compile=true", "train.torch_compile_backend=nosuch"], "inductor"),
    (["train.activation_checkpointing=true", "train.activation_checkpointing_kwargs={nosuch: 1}"], "use_reentrant"),
    (["train.fp16=true"], "only on a GPU"),
    (["train.tf32=true"], "only on a GPU"),
    (["train.activation_offloading=true"], "only on a GPU"),
    (["base.attn_implementation=flash_attention_2"], "write sdpa"),
    (["base.attn_implementation=flash_attention_2", "train.use_cpu=false"], "base.dtype: float32"),
    (["lora.layers_to_transform=[0]"], "lora.target_modules as a list"),
    (["lora.lora_bias=true", "lora.use_dora=true"], "lora.use_dora"),
    (["lora.init_lora_weights=orthogonal", "lora.r=3"], "an even rank"),
    (["lora.init_lora_weights=orthogonal", "base.quantization=nf4"], "not quantised"),
    (["lora.layer_replication=[[2, 1]]"], "no range of layers"),
    (["lora.target_modules=[]"], "names nothing"),
    (["lora.target_modules='('"], "not a valid one"),
    (["lora.rank_pattern={'(': 2}"], "not a valid one"),
    (["lora.rank_pattern={q_proj: 0}"], "lora.rank_pattern.q_proj"),
    (["lora.rank_pattern={q_proj: two}"], "lora.rank_pattern"),
]
NOT_WHAT_WAS_TRAINED = [
    (["train.save_only_model=true"], "save_total_limit"),
    (["train.ignore_data_skip=true"], "a killed run"),
    (["train.enable_jit_checkpoint=true"], "passes for finished"),
    (["train.auto_find_batch_size=true"], "another batch size"),
    ([COMPLETION, "train.packing=true", "train.packing_strategy=wrapped"], "cuts a case from its answer"),
    *(([f"lora.init_lora_weights={name}"], "gaussian") for name in ("pissa", "pissa_niter_4", "olora", "loftq", "eva")),
    (["lora.kasa_config={beta: 0.1}"], "would not be the trained model"),
    (["lora.alora_invocation_tokens=[1]"], "scoring shares the prompt"),
]
ENDLESS = [
    ([f"lora.layer_replication=[{', '.join(['[0, 2]'] * 2000)}]"], "more than 1000 layers"),
]


@pytest.mark.parametrize(("overrides", "words"), [*WITHOUT_EFFECT, *TRACEBACKS, *NOT_WHAT_WAS_TRAINED, *ENDLESS])
def test_what_cannot_be_honoured_is_refused_with_the_way_out(path: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()) == 1
    assert any(override.partition("=")[0].partition(".")[0] + "." in message for override in overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [COMPLETION, "train.label_smoothing_factor=0.1"],
        ["train.optim=sgd", "train.optim_args=momentum=0.9,nesterov=true"],
        ["train.optim=ademamix", "train.optim_args=beta3=0.999,alpha=4"],
        ["train.lr_scheduler_type=cosine_with_min_lr", "train.lr_scheduler_kwargs={min_lr_rate: 0.1}"],
        ["train.save_strategy=no"],  # the switch of save_steps, which the recipe writes
        ["train.use_cpu=false", "train.bf16=true"],
        ["train.max_steps=-1"],
    ],
)
def test_what_is_honoured_is_not_refused(path: Path, overrides: list[str]) -> None:
    load_recipe(path, overrides)


def test_every_optimizer_and_schedule_that_a_recipe_may_name_can_be_written(path: Path) -> None:
    extra = {
        "cosine_with_min_lr": "{min_lr: 0}",
        "cosine_warmup_with_min_lr": "{min_lr: 0}",
        "warmup_stable_decay": "{num_decay_steps: 1}",
    }
    for name in OPTIMIZERS:
        load_recipe(path, [f"train.optim={name}"])
    for name in SCHEDULES:
        load_recipe(path, [f"train.lr_scheduler_type={name}", f"train.lr_scheduler_kwargs={extra.get(name, 'null')}"])
