"""``bias.md`` of a publication: which groups of patients were looked at, what came out, and what nobody can say.

Made of the files of the run alone, the report of monitoring among them where one was kept there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from osler.evaluation import MIN_SUBGROUP, SubgroupGap, subgroup_gaps
from osler.monitoring import lines_of_swaps
from osler.publishing import limitations
from osler.publishing.evidence import Evidence, read_evidence
from osler.rendering import cell, code, difference, markdown_table, p_value, render_template, signed_cell
from osler.runs import Run, read_predictions
from osler.tasks import SWAPS

# What treats patients unlike in care and in models, and what a case may therefore be asked for; by what attributes of
# cases would say it. Source: PROGRESS-Plus (O'Neill et al. 2014, J. Clin. Epidemiol. 67:56), and pregnancy.
CHARACTERISTICS: Mapping[str, tuple[str, ...]] = {
    "sex": ("sex", "gender"),
    "age": ("age", "age_band"),
    "ethnicity or ancestry": ("ethnicity", "ancestry", "race"),
    "the language that patients speak": ("language",),
    "place of residence": ("residence", "country", "region"),
    "income": ("income",),
    "occupation": ("occupation",),
    "education": ("education",),
    "religion": ("religion",),
    "disability": ("disability",),
    "sexual orientation": ("sexual_orientation",),
    "pregnancy": ("pregnancy",),
}


def render(run: Run, name: str, about: Mapping[str, Any]) -> str:
    """The page of the model called ``name``; the same files give the same bytes.

    Raises :class:`InputError` as :func:`read_evidence`.
    """
    evidence = read_evidence(run)
    record = evidence.headline
    path = run.prediction_path(record.task, record.split, evidence.tuned)
    rows = read_predictions(path) if path.is_file() else []
    gaps = subgroup_gaps(rows, evidence.system, evidence.recipe.evaluation.resamples) if rows else []
    in_use = evidence.in_use
    return render_template(
        "publishing/bias.md.jinja",
        {"code": code},
        name=name,
        split=record.split,
        record=record,
        tuned=evidence.tuned,
        figure=quote(f"figures/{record.split}-subgroups.png") if any(gap.accuracy for gap in gaps) else None,
        gaps=[_row(gap) for gap in gaps],
        answered=bool(rows),
        swaps={split: _swaps(evidence, split) for split in evidence.robustness},
        in_use=in_use,
        in_use_groups=[
            [
                f"{group.attribute.replace('_', ' ')} {group.value}",
                f"{group.n:,}",
                cell(group.accuracy.estimated),
                f"{group.accuracy.judged:,}",
                cell(group.accuracy.realised),
                "; ".join(f"{measure} {signed_cell(gap)}" for measure, gap in group.gap.items()) or "–",
                "; ".join(f"{measure}: {p_value(p)}" for measure, p in group.changed.items()) or "–",
            ]
            for group in (in_use.groups if in_use else ())
            if group.accuracy
        ],
        in_use_swaps=lines_of_swaps(in_use) if in_use else [],
        balance=evidence.data_report.balance,
        about=about,
        unknown=unknown(evidence),
        table=markdown_table,
        min_subgroup=MIN_SUBGROUP,
    )


def _row(gap: SubgroupGap) -> list[str]:
    return [
        f"{gap.attribute.replace('_', ' ')} {gap.value}",
        f"{gap.n:,}",
        cell(gap.accuracy),
        signed_cell(gap.gap),
        "–" if gap.p_adjusted is None else p_value(gap.p_adjusted).removeprefix("p = "),
        signed_cell(gap.misjudged),
    ]


def _swaps(evidence: Evidence, split: str) -> list[list[str]]:
    return [
        [
            row.perturbation.replace("_", " "),
            f"{row.n:,}",
            f"{row.unchanged:,}",
            cell(row.top_1_flip_rate),
            f"{cell(row.original_accuracy)} → {cell(row.accuracy)}",
            difference(row.change) if row.change else "–",
        ]
        for row in evidence.robustness[split].records[evidence.tuned]
        if row.perturbation in SWAPS and row.n
    ]


def unknown(evidence: Evidence) -> Sequence[str]:
    """What nobody can say of this model's bias, in sentences."""
    attributes = set(evidence.system.subgroups)
    missing = [what for what, names in CHARACTERISTICS.items() if not attributes & set(names)]
    sentences = [*limitations.unsaid(evidence)]
    if missing:
        sentences.append(
            f"no case records {', '.join(missing)}: how the model treats patients who differ in these is unknown"
        )
    for split, measured in evidence.robustness.items():
        for row in measured.records[evidence.tuned]:
            if row.perturbation in SWAPS and not row.n:
                name = row.perturbation.replace("_", " ")
                sentences.append(f"{name}: no case of {split} says what would have to be exchanged")
    if not evidence.robustness:
        sentences.append("whether sex or age alone changes the answer to a held-out case: nobody has exchanged them")
    if not evidence.in_use:
        sentences.append("how it treats patients in use: no report of monitoring is with the model")
    return sentences
