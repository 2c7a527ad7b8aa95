"""What starts an artefact elsewhere: a README, and for Ollama a Modelfile, with this run's names in them."""

from __future__ import annotations

import shlex
from pathlib import Path

from osler.export.forms import Form
from osler.recipe import Recipe, find_tasks
from osler.rendering import Markdown, cell, fenced, render_template
from osler.runs import Artefact, Run
from osler.storage import read_json

EXAMPLE = "burning when passing water and fever"  # an invented patient
# What vLLM takes for --max-lora-rank (vllm/config/lora.py, MaxLoRARanks); below the adapter's rank it refuses it.
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def files(
    run: Run, recipe: Recipe, form: Form, artefact: Artefact, weights: str | None, figures: str
) -> dict[str, str]:
    """Name → text of what goes beside the artefact. ``weights``: the name of its GGUF file;
    ``figures``: that of the file with how it answers."""
    from osler.models import load_tokenizer  # imports torch, as does the next
    from osler.tasks import TEXT, completions, load_task

    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    tokenizer = load_tokenizer(recipe.base)
    frame: tuple[str, ...] = ()
    if tokenizer.chat_template:
        frame = task.prompt.conversation(tokenizer).frame
    longest = max(map(len, completions(tokenizer, task.labels).values())) if recipe.head is None else 0
    text = render_template(
        "export/readme.md.jinja",
        {"cell": lambda estimate: Markdown(cell(estimate)), "fenced": fenced},
        run=_path(run.folder),
        merged=_path(run.merged_path),
        adapter=_path(run.adapter_path),
        base=_path(recipe.base.model),
        recipe=recipe,
        form=form,
        artefact=artefact,
        system=Markdown(artefact.system),
        form_name=Markdown(form.name),
        weights=weights and _path(weights),
        figures=Markdown(figures),
        name=Markdown(f"{recipe.name}-{recipe.version}"),
        rank=vllm_rank(run.adapter_path),
        prompt="".join("{text}" if piece == TEXT else piece for piece in frame),
        example=Markdown(EXAMPLE),
    )
    made = {"README.md": f"{text}\n"}
    if weights is not None:
        made["Modelfile"] = modelfile(
            weights, ["{{ .Prompt }}" if piece == TEXT else piece for piece in frame], longest
        )
    return made


def _path(path: Path | str) -> Markdown:
    """As a shell reads it."""
    return Markdown(shlex.quote(str(path)))


def vllm_rank(adapter: Path) -> int | None:
    """What vLLM needs for ``--max-lora-rank``; None where it cannot serve the adapter: one with whole modules in it, or
    larger than it takes."""
    path = adapter / "adapter_config.json"
    if not path.is_file():
        return None
    config = read_json(path)
    if config.get("modules_to_save") or config.get("use_dora"):
        return None
    largest = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return next((rank for rank in VLLM_RANKS if rank >= largest), None)


def modelfile(weights: str, frame: list[str], longest: int) -> str:
    """Ollama's Modelfile, with the whole prompt of training as its template: Ollama adds nothing of its own.

    ``frame``: the prompt, with ``{{ .Prompt }}`` for a case's text. ``longest``: tokens of the longest answer.
    """
    pieces = [piece if piece == "{{ .Prompt }}" else piece.replace("{{", '{{ "{{" }}') for piece in frame]
    return (
        f"FROM ./{weights}\n"
        f'TEMPLATE """{"".join(pieces)}"""\n'
        "PARAMETER temperature 0\n"
        f"PARAMETER num_predict {longest}\n"
    )
