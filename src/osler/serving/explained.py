"""One answer with everything that explains it, and how faithful that is, for ``scripts/explain.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import osler
from osler.errors import InputError
from osler.evaluation import evaluation
from osler.explanation import (
    MOST,
    Counterfactual,
    Edit,
    Explainer,
    Explanation,
    ForAndAgainst,
    SimilarPatient,
    UnitWeight,
    WordWeight,
    ablation,
    faithfulness,
    knowledge,
)
from osler.recipe import find_tasks
from osler.rendering import aligned, cell, p_value, render_template
from osler.runs import Faithfulness, find_run
from osler.serving.diagnosis import Diagnosis, render_lines
from osler.serving.model import ServedModel, load_models
from osler.storage import write_model

PUBMED = "https://pubmed.ncbi.nlm.nih.gov/{}/"
BAR = 20  # characters of the longest bar on a terminal
STRONG = 0.2  # of the strongest token: weaker ones are not marked on the page, where nearly every one has some weight
SIDES = (
    ("for", "matched"),
    ("for, more generally", "matched_more_generally"),
    ("not explained", "unexplained"),
    ("expected, but absent", "expected_but_absent"),
    ("against", "contradicted"),
)


def explained_answer(
    model: ServedModel, text: str, top: int, units: int | None, gradients: bool, training: bool
) -> Diagnosis:
    """The answer to ``text`` with its explanation, in as many passes as that takes.

    Args:
        units: how many stretches are left out at most; None for as many as usual.
        gradients: also take these of every token.
        training: also look for similar rows among the training texts.

    Raises :class:`InputError` where the text cannot be asked, or something of it is asked for that cannot be had.
    """
    (answer,) = model.answer([model.encode(text, explain=True)], top)
    explainer = model.explainer
    if training:
        assert model.run is not None
        recipe = model.run.recipe()
        trained = knowledge.training_rows(model.run, recipe, explainer.known)
        explainer = Explainer(explainer.subject, replace(explainer.known, trained=trained))
    told = explainer.explain(text, units or MOST, gradients)
    return answer.model_copy(update={"words": ablation.words(told.units), "explanation": told})


def measure(name: str, split: str, limit: int | None, gradients: bool) -> str:
    """Measure how faithful explanations of a run's answers to the cases of ``split`` are; write ``explanation.json``,
    and the run's report anew. Returns a table.

    Raises :class:`InputError` where the run cannot be asked, or it has no such split.
    """
    from osler.tasks import load_task

    run = find_run(name).run
    recipe = run.recipe()
    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    if split not in task.splits:
        raise InputError(f"--split {split}: the task has {', '.join(task.splits)}")
    (model,) = load_models([name]).values()
    measured = faithfulness.measure(model.explainer, recipe, run.read_manifest(), task.source, split, limit, gradients)
    path = run.explanation_path(split, limit)
    write_model(path, measured)
    if path == run.explanation_path("validation"):
        evaluation.write_report(run, recipe, task)
    return "\n".join([*_table(measured), f"written: {path}"])


def _table(measured: Faithfulness) -> Iterator[str]:
    yield (
        f"{measured.n} cases of {measured.split}, {measured.mean_units:.1f} stretches each, against"
        f" {measured.random_orders} random orders"
    )
    rows = [["order", "deletion AUC [95%]", "insertion AUC [95%]"]]
    rows += [[name, cell(of.deletion), cell(of.insertion)] for name, of in measured.methods.items()]
    yield from aligned(rows)
    for row in measured.comparisons:
        sign = "lower" if row.curve == "deletion" else "higher"
        yield (
            f"{row.a}, {row.curve}: {row.difference:+.3f}, {sign} than random in {row.better} cases and not in"
            f" {row.worse}, {p_value(row.p_adjusted)} (Holm)"
        )
    for what, of in (("ablation and gradients", measured.agreement), ("paraphrased", measured.paraphrased.agreement)):
        if of is not None and of.spearman is not None:
            yield f"{what}: rank correlation {cell(of.spearman)} in {of.n} cases"


# ── for a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────


def render_explained(text: str, answer: Diagnosis) -> str:
    """The answer and its explanation in lines."""
    lines = [render_lines(answer)]
    if answer.explanation is not None:
        lines += _lines(text, answer.explanation)
    return "\n".join(lines)


def _lines(text: str, told: Explanation) -> Iterator[str]:
    yield ""
    yield f"Left out of the text, one after the other: how far log p of {told.label} falls (+) or rises (-)"
    most = max((abs(one.weight) for one in told.units), default=0.0) or 1.0
    for unit in sorted(told.units, key=lambda unit: -unit.weight):
        bar = ("+" if unit.weight > 0 else "-") * round(BAR * abs(unit.weight) / most)
        yield f"  {unit.weight:+8.3f}  {bar:<{BAR}}  {stretch(text, unit)}{named(unit)}"
    if told.gradients:
        strongest = sorted(told.gradients, key=lambda one: -abs(one.weight))[:10]
        yield "Integrated gradients, the strongest tokens:"
        yield "  " + ", ".join(f"{text[one.start : one.end].strip()} {one.weight:+.2f}" for one in strongest)
    for side in told.ontology:
        yield f"HPO on {side.name}:"
        for kind, parts in sides(side):
            yield f"  {kind}: {', '.join(parts)}"
    if told.patients:
        yield "Patients with like findings:"
        yield from (f"  {patient_line(one)}" for one in told.patients)
    yield from (f"It would answer {change_line(text, one)}" for one in told.counterfactuals)
    if not told.counterfactuals:
        yield "No change that was tried changes the first answer."
    yield from (f"note: {note}" for note in told.notes)
    yield told.about


def stretch(text: str, place: WordWeight) -> str:
    """The characters that a weight is of."""
    return " ".join(text[place.start : place.end].split())


def named(unit: UnitWeight) -> str:
    """The findings of a unit, and what the text says of those that are not present."""
    found = [f"{one.finding.name}{'' if one.status == 'present' else f', {one.status}'}" for one in unit.findings]
    return f"  [{'; '.join(found)}]" if found else ""


def sides(of: ForAndAgainst) -> list[tuple[str, list[str]]]:
    """What speaks for and against a diagnosis, each kind in words; those without anything are left out."""
    told = []
    for kind, attribute in SIDES:
        found = getattr(of, attribute)
        parts = [f"{one.term.name} {one.share:.0%}" if hasattr(one, "share") else one.name for one in found]
        told += [(kind, parts)] if parts else []
    return told


def patient_line(one: SimilarPatient) -> str:
    """A patient in a line."""
    learnt = {True: "; learnt from", False: "; not learnt from", None: ""}[one.trained_on]
    where = ", ".join(one.publications) or one.case_id
    shared = ", ".join(term.name for term in one.shared)
    return f"{one.name} ({where}{learnt}), similarity {one.similarity:.2f}: {shared}"


def change_line(text: str, one: Counterfactual) -> str:
    """What another answer would take, in words."""
    changes = " and ".join(edit_words(text, edit) for edit in one.edits)
    return f"{one.name} ({one.probability:.1%}) {changes}"


def edit_words(text: str, edit: Edit) -> str:
    """A change of the text in words."""
    if edit.kind == "added":
        return f"with {edit.finding.name if edit.finding else ''} added"
    shown = " ".join(text[edit.start : edit.end].split())
    return f"without “{shown}”" if edit.kind == "left_out" else f"with “{shown}” told the other way round"


# ── a page ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def render_explained_page(text: str, answer: Diagnosis) -> str:
    """A page with the text, the answer and its explanation, which needs no network. It holds the patient's text."""
    assert answer.explanation is not None, "of an answer that was explained"
    told = answer.explanation
    return render_template(
        "serving/explained.html.jinja",
        version=osler.__version__,
        text=text,
        answer=answer,
        told=told,
        pieces=pieces(text, told.units),
        tokens=pieces(text, told.gradients or (), STRONG),
        strong=f"{STRONG:.0%}",
        most=max((abs(unit.weight) for unit in told.units), default=0.0) or 1.0,
        named=named,
        stretch=stretch,
        sides=sides,
        change_line=change_line,
        pubmed=lambda pmid: PUBMED.format(pmid.removeprefix("PMID:")) if pmid.startswith("PMID:") else None,
    )


def pieces(text: str, weights: Sequence[WordWeight], least: float = 0) -> list[tuple[str, float | None, float]]:
    """The text in pieces: what it says, its weight (None between them), and that in parts of the largest, of which
    those below ``least`` have none."""
    most = max((abs(one.weight) for one in weights), default=0.0) or 1.0
    cut, end = list[tuple[str, float | None, float]](), 0
    for one in sorted(weights, key=lambda one: one.start):
        if one.start >= end and one.weight and abs(one.weight) >= least * most:
            cut += [(text[end : one.start], None, 0.0), (text[one.start : one.end], one.weight, one.weight / most)]
            end = one.end
    return [*cut, (text[end:], None, 0.0)]
