"""Where a model is weak, in sentences written from its results, not from imagination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from osler.evidence import Evidence
from osler.results import MIN_SUBGROUP
from osler.tables import cell, difference, p_value

PAIRS = 5  # of confused labels that are told


def risks(evidence: Evidence) -> list[str]:
    """What is known to go wrong, the gravest first; every sentence from the numbers of the run."""
    parts = (_baselines, _simulated, _overlap, _calibration, _abstention, _confusions, _perturbed, _closed, _size, _merged)
    return [sentence for part in parts for sentence in part(evidence)]


def reliability(evidence: Evidence) -> list[str]:
    """Of :func:`risks`, those about when an answer can be relied on."""
    return [sentence for part in (_calibration, _abstention, _perturbed) for sentence in part(evidence)]


def biases(evidence: Evidence) -> list[str]:
    """The worst subgroup of every attribute on the headline split, and what nobody can say for want of cases."""
    found = []
    for attribute, of in evidence.system["subgroups"].items():
        name = attribute.replace("_", " ")
        small = [f"{value} (n = {group['n']})" for value, group in of["values"].items() if not group["accuracy"]]
        if of["worst"] is not None:
            worst, best = (of["values"][of[end]] for end in ("worst", "best"))
            gap = {**of["gap"], "difference": of["gap"]["value"]}
            found.append(
                f"{name}: worst for {of['worst']} (n = {worst['n']}), accuracy {cell(worst['accuracy'])}; best for"
                f" {of['best']} (n = {best['n']}), {cell(best['accuracy'])}; gap {difference(gap)}"
                + ("" if gap["low"] is None or gap["low"] > 0 else ", which may be chance")
            )
        elif shown := [value for value, group in of["values"].items() if group["accuracy"]]:
            found.append(f"{name}: one subgroup alone is large enough to be given, {shown[0]}: nothing can be compared")
        if small:
            found.append(f"{name}: nothing can be said of {', '.join(small)}: fewer than {MIN_SUBGROUP} cases")
    return found


def _baselines(evidence: Evidence) -> Iterator[str]:
    rows = {row["b"]: row for row in evidence.headline["comparisons"]}
    for kind, said in (("behind", "is worse than"), ("open", "is not shown to be better than")):
        for name in evidence.other_systems[kind]:
            p = p_value(rows[name]["p_adjusted"])
            yield f"It {said} {name} on {evidence.headline['split']}: accuracy {difference(rows[name])}, Holm {p}."


def _simulated(evidence: Evidence) -> Iterator[str]:
    if evidence.task["source"]["kind"] != "simulated":
        return
    split = {kind: [r for r in evidence.records if evidence.simulated(r) == kind] for kind in (True, False)}
    if not split[False]:
        yield "It was tested on simulated patients only: nothing here says how it does on real ones."
    elif split[True]:
        simulated = next((r for r in split[True] if r["split"] == "simulated"), split[True][0])
        real = next((r for r in split[False] if r["split"] == evidence.headline["split"]), split[False][0])
        yield (
            f"Simulated patients flatter it: accuracy {_accuracy(evidence, simulated)} on {simulated['split']}"
            f" (simulated), {_accuracy(evidence, real)} on {real['split']} (real): what is right of the simulator is"
            " not right of patients."
        )


def _accuracy(evidence: Evidence, record: dict[str, Any]) -> str:
    return cell(record["systems"][evidence.tuned]["metrics"]["accuracy"])


def _overlap(evidence: Evidence) -> Iterator[str]:
    for record in evidence.records:
        found = record["contamination"]
        if found is None:
            yield f"Nobody measured how much of {record['split']} stands in the training data."
            continue
        words = {"normalised": "word for word", "near": "nearly", "ngrams": "in most of their phrases"}
        cases = [f"{found[name]['cases']} {how}" for name, how in words.items() if found[name]["cases"]]
        if cases:
            reason = f" (allowed by the recipe: {found['allowed']})" if found["allowed"] else ""
            yield f"Of the {record['n']} cases of {record['split']}, the training data holds {', '.join(cases)}{reason}."


def _calibration(evidence: Evidence) -> Iterator[str]:
    found = evidence.system["calibration"]
    if not found:
        yield "It gives no probabilities: nothing says when to doubt it."
        return
    bins = found["before"]["reliability"]
    sure = sum(row["n"] * row["confidence"] for row in bins) / sum(row["n"] for row in bins)
    right = evidence.system["metrics"]["accuracy"]["value"]
    kind = "overconfident" if sure > right else "underconfident"
    after = f"; {cell(found['after']['ece'])} after temperature {found['temperature']:.2f}" if "after" in found else ""
    yield (
        f"Its probabilities are {kind}: {sure:.2f} sure on average, right in {right:.2f} of the cases (expected"
        f" calibration error {cell(found['before']['ece'])}{after})."
    )


def _abstention(evidence: Evidence) -> Iterator[str]:
    found = evidence.system["calibration"].get("abstention")
    if found is None:
        return
    target = f"{found['target_accuracy']:.0%}"
    if found["threshold"] is None:
        yield f"It cannot be made safe by abstaining: no confidence threshold reached {target} on validation."
    elif found["accuracy"] is not None:
        reached = found["accuracy"]["value"] >= found["target_accuracy"]
        yield (
            f"Abstaining below a confidence of {found['threshold']:.2f}, chosen for {target} on validation, answers"
            f" {found['coverage']['value']:.0%} of {evidence.headline['split']} with accuracy"
            f" {cell(found['accuracy'])}: the target is {'' if reached else 'not '}kept."
        )


def _confusions(evidence: Evidence) -> Iterator[str]:
    for label, answer, n, of in (evidence.confused or [])[:PAIRS]:
        yield f"It takes {evidence.named(label)} for {evidence.named(answer)} in {n} of {of} cases."


def _perturbed(evidence: Evidence) -> Iterator[str]:
    measured = evidence.robustness.get(evidence.headline["split"])
    rows = measured["records"][evidence.tuned] if measured else []
    # Negated findings are another case: a new answer is no fault there.
    rows = [row for row in rows if row["n"] and row["perturbation"] != "negated"]
    if rows:
        worst = max(rows, key=lambda row: row["top_1_flip_rate"]["value"])
        yield (
            f"Changing the text changes its answers, most of all {worst['perturbation'].replace('_', ' ')} at"
            f" {worst['strength']:.0%}: the first answer is another one in {cell(worst['top_1_flip_rate'])} of"
            f" {worst['n']} cases, accuracy by {difference(worst['change'])}."
        )


def _closed(evidence: Evidence) -> Iterator[str]:
    if labels := evidence.data_report["labels"]:
        yield f"It always names one of its {len(labels)} labels: a patient who has none of them gets one all the same."


def _size(evidence: Evidence) -> Iterator[str]:
    record, seed = evidence.headline, evidence.manifest["seed"]
    rows = {row["b"]: row for row in record["comparisons"]}
    seen = rows[evidence.best_other]["minimum_detectable_difference"] if evidence.best_other else None
    reach = f"; against {evidence.best_other} they would show a difference of {seen:.2f} or more" if seen else ""
    groups = f" of {record['groups']} independent groups" if record["groups"] else ""
    yield f"{record['split']} has {record['n']} cases{groups}{reach}. One training seed ({seed}): another scores otherwise."


def _merged(evidence: Evidence) -> Iterator[str]:
    parity = evidence.headline.get("parity")  # results from before there was the key have none
    if parity is None:
        yield "The merged model was not evaluated: nothing is known of how it differs from the adapter."
        return
    same = f"{parity['same_first_label']} of {parity['n']} cases"
    yield (
        f"The merged model gives the adapter's first label in {same}, its whole ranking in {parity['same_ranking']};"
        f" probabilities differ by {parity['max_probability_difference']:.2g} at most:"
        f" {'within' if parity['holds'] else 'NOT within'} the bound of {parity['bound']:g}."
    )
