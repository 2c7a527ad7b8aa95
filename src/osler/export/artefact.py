"""From an evaluated run to an artefact that answers as it does, or to none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from osler.errors import FailedError, InputError
from osler.export import commands
from osler.export.forms import Form, check_packages, check_room
from osler.export.table import render
from osler.recipe import Recipe, find_tasks
from osler.runs import Artefact, Exports, Manifest, Results, Run, check_trained, merged_name, tuned_name
from osler.storage import model_fingerprint, read_model, sha256_file, write_model

SCORERS = ("label_trie", "label_likelihood")
BASE_CASES = 20  # that the untuned base is asked


def export(run: Run, form: Form, limit: int | None = None) -> str:
    """Make ``form`` of ``run``, have it answer the held-out cases, and write ``exports.json``; returns a table.

    Args:
        limit: only the first so many cases of each split, which ``evaluate.py --limit`` has to have answered, too.

    Raises:
        InputError: the run is not finished or not evaluated, is of a kind that has no such form, the output exists,
            there is no room, or a package is missing.
        FailedError: what was made does not ask or answer as the evaluated model does. It is not kept.
    """
    recipe = run.recipe()
    manifest = check_trained(run, recipe)
    _check_kind(run, recipe, form)
    folder = run.exports_path / form.name
    if folder.exists():
        raise InputError(f"{folder}: exists already; move it away to export again")
    tuned = answers_of_tuned(run, recipe, limit)
    exports = _read(run, recipe, limit)
    check_packages(form)
    to_merge = recipe.lora is not None and merged_name(recipe) not in run.weights(recipe)
    size = check_room(form, manifest.base.parameters, run.folder, _bytes(recipe) if to_merge else 0, _bytes(recipe))
    print(f"{run.folder}: {form.name} will be about {size / 1e9:.2f} GB", flush=True)
    with run.locked("exporting"):
        part = run.exports_path / f".{form.name}"  # what a killed export leaves there, the next one deletes
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            made = _make(run, recipe, manifest, form, part, to_merge)
            try:
                artefact = _prove(run, recipe, form, made, tuned, exports.tuned, limit)
            except FailedError as error:
                if form.format != "merged":
                    raise FailedError(f"{error}; it is not kept") from None
                if not to_merge:
                    raise FailedError(f"{error}; move {run.merged_path} away") from None
                shutil.rmtree(run.merged_path)
                raise FailedError(f"{error}; {run.merged_path} is deleted") from None
            weights = next((path.name for path in made.glob("*.gguf")), None)
            for name, text in commands.files(
                run, recipe, form, artefact, weights, run.exports_file(limit).name
            ).items():
                (part / name).write_text(text, encoding="utf-8")
            exports = exports.model_copy(update={"artefacts": {**exports.artefacts, form.name: artefact}})
            # The figures first, so that a folder always has some. Killed in between, the next export makes both.
            write_model(run.exports_file(limit), exports)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return render(exports)


def _bytes(recipe: Recipe) -> int:
    """Of a weight of the merged model."""
    return 4 if recipe.base.dtype == "float32" else 2


def _check_kind(run: Run, recipe: Recipe, form: Form) -> None:
    """Raise :class:`InputError` where no artefact of such a run can be made, or asked what the run was."""
    from osler.recipe import ImageTextSource, read_task

    task = read_task(find_tasks(run.folder) / recipe.task.name)
    if recipe.stage == "pretrain":
        raise InputError(f"{run.folder}: pre-trained, it answers nothing; fine-tune it, and export that run")
    if isinstance(task.source, ImageTextSource):
        raise InputError(f"{run.folder}: its cases are images, which no form of it would read; publish the run itself")
    if recipe.head == "reranker":
        raise InputError(f"{run.folder}: a reranker (head: reranker) is asked through scripts/diagnose.py alone")
    if recipe.head is None and (task.scorer or recipe.evaluation.scorer) not in SCORERS:
        raise InputError(
            f"{run.folder}: answers with the scorer {task.scorer or recipe.evaluation.scorer}; what is exported is"
            f" compared by the probabilities of labels, which {' and '.join(SCORERS)} give"
        )
    if recipe.head is not None and form.format == "gguf":
        raise InputError(f"--to gguf: {run.folder} is a classifier, and llama.cpp has no head for one; take --to onnx")
    if recipe.lora is None and form.format == "merged":
        raise InputError(f"--to merged: {run.folder} has no lora: its {run.adapter_path} is a whole model already")


def answers_of_tuned(run: Run, recipe: Recipe, limit: int | None) -> dict[str, Path]:
    """Split → the evaluated model's prediction file. Raises :class:`InputError` where it was not evaluated."""
    first = "" if limit is None else f" --limit {limit}"
    way_out = f"scripts/evaluate.py {run.folder}{first} answers them"
    path = run.results_path(limit=limit)
    if not path.is_file():
        raise InputError(f"{run.folder}: no {path.name}, so nothing to compare an export with; {way_out}")
    scored, tuned = read_model(path, Results), tuned_name(recipe)
    found = {}
    for record in scored.records:
        if record.task != recipe.task.name or tuned not in record.systems:
            continue
        file = run.prediction_path(record.task, record.split, tuned, limit)
        if not file.is_file() or sha256_file(file) != record.predictions_sha256[tuned]:
            raise InputError(f"{file}: not what {path.name} was made of; {way_out} again")
        found[record.split] = file
    if not found:
        raise InputError(f"{path}: has no results of {tuned}; {way_out}")
    return found


def _read(run: Run, recipe: Recipe, limit: int | None) -> Exports:
    """``exports.json`` so far. Raises :class:`InputError` where it is of another training."""
    path, tuned = run.exports_file(limit), tuned_name(recipe)
    weights = model_fingerprint(run.adapter_path)
    if not path.is_file():
        first = {} if limit is None else {"first": limit}
        return Exports(schema=1, **first, tuned=tuned, weights_sha256=weights, artefacts={})
    exports = read_model(path, Exports)
    if exports.weights_sha256 != weights:
        raise InputError(f"{path}: of another training; move it and {run.exports_path} away")
    return exports


def _make(run: Run, recipe: Recipe, manifest: Manifest, form: Form, part: Path, to_merge: bool) -> Path:
    """Write ``form`` into ``part``; returns the folder that has it, which for the merged model is another."""
    from osler.models import base_folder, load_merged, load_tokenizer, merge_run
    from osler.tasks import chat_template_sha256

    tokenizer = load_tokenizer(recipe.base)
    if chat_template_sha256(tokenizer) != manifest.chat_template_sha256:
        raise InputError(f"{recipe.base.model}: its chat template is not the one of training; bring that one back")
    if form.format == "gguf":
        from osler.export import gguf_writer

        gguf_writer.check_architecture(run.adapter_path if recipe.lora is None else base_folder(recipe.base))
    if to_merge:
        merge_run(run, recipe)
    source = run.adapter_path if recipe.lora is None else run.merged_path
    if form.format == "merged":
        return source
    if form.format == "gguf":
        assert form.quantization is not None
        gguf_writer.write(source, part / f"{recipe.name}-{recipe.version}-{form.quantization}.gguf", form.quantization)
        return part
    from osler.export import graph_writer

    base = replace(recipe.base, dtype="float32", attn_implementation="sdpa")
    graph_writer.write_graph(load_merged(base, source), part, form.format, form.quantization)
    tokenizer.save_pretrained(part)
    return part


def _prove(
    run: Run, recipe: Recipe, form: Form, made: Path, tuned: Mapping[str, Path], tuned_system: str, limit: int | None
) -> Artefact:
    """What the artefact in ``made`` answers. Raises :class:`FailedError` where it is not the evaluated model."""
    from osler.export import answering, comparison

    system = f"{tuned_system}-{form.name}"
    files = {split: run.exported_prediction_path(recipe.task.name, split, system, limit) for split in tuned}
    for path in files.values():
        for old in path.parent.glob(f"*{path.name}*"):
            old.unlink()
    job = answering.Job(run.folder, made, (form.format, form.quantization), system, files, limit)
    asked = answering.ask_apart(job)
    distance = None
    fault = asked.fault
    if fault is None and recipe.head is None:
        split = next(iter(files))
        untuned = _answers_of_base(run, recipe, split, limit)
        distance = comparison.from_base(files[split], tuned[split], untuned)
        fault = comparison.base_fault(distance)
    if fault:
        for path in files.values():
            path.unlink(missing_ok=True)
        raise FailedError(f"{form.name}: {fault}")
    return Artefact(
        format=form.format,
        quantization=form.quantization,
        system=system,
        size_bytes=sum(path.stat().st_size for path in made.rglob("*") if path.is_file()),
        sha256=model_fingerprint(made) if form.format == "merged" else _sha256(made),
        runtime=asked.runtime,
        threads=asked.threads,
        tokens_per_second=asked.tokens / asked.seconds,
        peak_memory_bytes=asked.peak_memory_bytes,
        prompts_compared=asked.prompts_compared,
        from_base=distance,
        splits=comparison.compare(tuned, files, system, recipe.evaluation.resamples),
    )


def _sha256(folder: Path) -> str:
    """Of the largest file, which has the weights."""
    return sha256_file(max(folder.iterdir(), key=lambda path: path.stat().st_size))


def _answers_of_base(run: Run, recipe: Recipe, split: str, limit: int | None) -> Path:
    """The prediction file of the untuned base, where evaluation left one; else it is asked the first few cases."""
    if (evaluated := run.prediction_path(recipe.task.name, split, "base_model", limit)).is_file():
        return evaluated
    from osler.evaluation import prediction
    from osler.tasks import load_task

    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    models = prediction.run_models(run, recipe)
    few = min(BASE_CASES, limit or BASE_CASES)
    return prediction.Predictor(run, recipe, task, models, few).predict([split], ["base_model"])[0]
