"""Where a model is weak, in sentences written from its results, not from imagination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from osler.evaluation import MIN_SUBGROUP, perturbed_as
from osler.publishing.evidence import Evidence
from osler.rendering import cell, difference, p_value

PAIRS = 5  # of confused labels that are told


def risks(evidence: Evidence) -> list[str]:
    """What is known to go wrong, the gravest first; every sentence from the numbers of the run."""
    weaknesses = (_baselines, _simulated, _overlap, _calibration, _abstention, _confusions, _perturbed)
    parts = (*weaknesses, _closed, _size, _merged)
    return [sentence for part in parts for sentence in part(evidence)]


def reliability(evidence: Evidence) -> list[str]:
    """Of :func:`risks`, those about when an answer can be relied on."""
    return [sentence for part in (_calibration, _abstention, _perturbed) for sentence in part(evidence)]


def biases(evidence: Evidence) -> list[str]:
    """The worst subgroup of every attribute on the headline split, and what nobody can say for want of cases."""
    found = []
    for attribute, of in evidence.system["subgroups"].items():
        name = attribute.replace("_", " ")
        unknown = evidence.headline["n"] - sum(group["n"] for group in of["values"].values())
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
        if unknown:
            found.append(f"{name}: {unknown} of {evidence.headline['n']} cases do not say it")
    return found


def _baselines(evidence: Evidence) -> Iterator[str]:
    for record in evidence.published:
        rows = {row["b"]: row for row in record["comparisons"]}
        compared = evidence.compared(record)
        for kind, said in (("behind", "is worse than"), ("open", "is not shown to be better than")):
            found = [f"{b} ({difference(rows[b])}, Holm {p_value(rows[b]['p_adjusted'])})" for b in compared[kind]]
            if found:
                yield f"On {record['split']} it {said} {', '.join(found)}."


def _simulated(evidence: Evidence) -> Iterator[str]:
    if evidence.task.source.trains_on != "findings":
        return
    simulated, real = ([r for r in evidence.published if evidence.simulated(r) == kind] for kind in (True, False))
    if not real:
        yield "It was tested on simulated patients only: nothing here says how it does on real ones."
    elif simulated:
        easy, hard = simulated[0], next((r for r in real if r["split"] == evidence.headline["split"]), real[0])
        value = {r["split"]: r["systems"][evidence.tuned]["metrics"]["accuracy"]["value"] for r in (easy, hard)}
        flattered = value[easy["split"]] > value[hard["split"]]
        yield (
            f"On simulated patients ({easy['split']}) its accuracy is {_accuracy(evidence, easy)}, on real ones"
            f" ({hard['split']}) {_accuracy(evidence, hard)}"
            + (": what it learnt of the simulator does not carry over whole." if flattered else ".")
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
            allowed = found.get("allowed")  # results from before there was the key have none
            reason = f" (allowed by the recipe: {allowed})" if allowed else ""
            of = f"Of the {record['n']} cases of {record['split']}"
            yield f"{of}, the training data holds {', '.join(cases)}{reason}."


def _calibration(evidence: Evidence) -> Iterator[str]:
    found = evidence.system["calibration"]
    if not found:
        yield "It gives no probabilities: nothing says when to doubt it."
        return
    bins = found["before"]["reliability"]
    sure = sum(row["n"] * row["confidence"] for row in bins) / sum(row["n"] for row in bins)
    right = evidence.system["metrics"]["accuracy"]["value"]
    kind = "overconfident" if sure > right else "underconfident"
    low = found["before"]["ece"].get("low")
    chance = ", which may be chance" if low is not None and low == 0 else ""
    after = f"; {cell(found['after']['ece'])} after temperature {found['temperature']:.2f}" if "after" in found else ""
    yield (
        f"Its probabilities are {kind}: {sure:.2f} sure on average, right in {right:.2f} of the cases (expected"
        f" calibration error {cell(found['before']['ece'])}{after}){chance}."
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
    confused = evidence.confused
    if confused is None or not confused.pairs:
        return
    often = [pair for pair in confused.pairs if pair[2] > 1][:PAIRS]
    named = [f"{evidence.named(label)} for {evidence.named(to)} ({n} of {of} cases)" for label, to, n, of in often]
    yield (
        f"It confuses {confused.n_pairs} different pairs of labels"
        + (f"; most often it takes {'; '.join(named)}." if named else ", none of them more than once.")
    )


def _perturbed(evidence: Evidence) -> Iterator[str]:
    measured = evidence.robustness.get(evidence.headline["split"])
    rows = measured["records"][evidence.tuned] if measured else []
    # Negated findings are another case: a new answer is no fault there.
    rows = [row for row in rows if row["n"] and row["perturbation"] != "negated"]
    if rows:
        worst = max(rows, key=lambda row: row["top_1_flip_rate"]["value"])
        yield (
            f"Changing the text changes its answers, most of all {perturbed_as(worst)}: the first answer is another one"
            f" in {cell(worst['top_1_flip_rate'])} of the cases; accuracy changes by {difference(worst['change'])}."
        )


def _closed(evidence: Evidence) -> Iterator[str]:
    if labels := evidence.data_report["labels"]:
        yield f"It always names one of its {len(labels)} labels: a patient who has none of them gets one all the same."


def _size(evidence: Evidence) -> Iterator[str]:
    record = evidence.headline
    rows = {row["b"]: row for row in record["comparisons"]}
    seen = rows[evidence.best_other]["minimum_detectable_difference"] if evidence.best_other else None
    if seen:
        yield (
            f"The {record['n']} cases of {record['split']} show a difference to {evidence.best_other} from {seen:.2f}"
            " on; a smaller one they would miss."
        )
    for few in evidence.published:
        if any(row["interval_method"] == "too_few_groups" for row in few["comparisons"]):
            yield f"{few['split']} has {few['n']} cases of {few['groups']} groups: too few for any conclusion."
    seed = f"It was trained with one seed ({evidence.manifest['seed']}): with another it scores otherwise."
    yield f"{seed} {evidence.spread or 'By how much, nobody has measured.'}"


def _merged(evidence: Evidence) -> Iterator[str]:
    parity = evidence.headline.get("parity")  # results from before there was the key have none
    if parity is None:
        yield "The merged model was not evaluated: nothing is known of how it differs from the adapter."
        return
    same = f"{parity['same_first_label']} of {parity['n']} cases"
    moved = parity["max_probability_difference"]  # None for answers without probabilities
    yield (
        f"The merged model gives the adapter's first label in {same}, its whole ranking in {parity['same_ranking']};"
        f" {'it has no probabilities' if moved is None else f'probabilities differ by {moved:.2g} at most'}:"
        f" {'within' if parity['holds'] else 'NOT within'} the bound of {parity['bound']:g}."
    )
