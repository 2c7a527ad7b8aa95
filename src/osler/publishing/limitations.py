"""Where a model is weak, in sentences written from its results, not from imagination."""

from __future__ import annotations

from collections.abc import Iterator

from osler.evaluation import MIN_SUBGROUP, perturbation_label
from osler.publishing.evidence import Evidence
from osler.rendering import cell, difference, p_value, signed_cell
from osler.runs import Record

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
    return [*subgroups(evidence).values(), *unsaid(evidence)]


def subgroups(evidence: Evidence) -> dict[str, str]:
    """Attribute → its worst subgroup beside its best, the widest gap first."""
    gaps = {attribute: of.gap.value for attribute, of in evidence.system.subgroups.items() if of.gap}
    sentences = {}
    for attribute in sorted(gaps, key=gaps.__getitem__, reverse=True):
        of = evidence.system.subgroups[attribute]
        if of.worst and of.best and of.gap:
            worst, best, gap = of.values[of.worst], of.values[of.best], of.gap
            sentences[attribute] = (
                f"{_words(attribute)}: worst for {of.worst} (n = {worst.n}), accuracy {cell(worst.accuracy)}; best for"
                f" {of.best} (n = {best.n}), {cell(best.accuracy)}; gap {signed_cell(gap)}"
                + ("" if gap.low is None or gap.low > 0 else ", which may be chance")
            )
    return sentences


def unsaid(evidence: Evidence) -> Iterator[str]:
    """What nobody can say of subgroups for want of cases."""
    for attribute, of in evidence.system.subgroups.items():
        name, groups = _words(attribute), of.values
        unknown = evidence.headline.n - sum(group.n for group in groups.values())
        small = [f"{value} (n = {group.n})" for value, group in groups.items() if not group.accuracy]
        shown = [value for value, group in groups.items() if group.accuracy]
        if shown and not of.gap:
            yield f"{name}: one subgroup alone is large enough to be given, {shown[0]}: nothing can be compared"
        if small:
            yield f"{name}: nothing can be said of {', '.join(small)}: fewer than {MIN_SUBGROUP} cases"
        if unknown:
            yield f"{name}: {unknown} of {evidence.headline.n} cases do not say it"


def _words(attribute: str) -> str:
    return attribute.replace("_", " ")


def _baselines(evidence: Evidence) -> Iterator[str]:
    for record in evidence.published:
        rows = record.against(evidence.tuned)
        compared = evidence.compared(record)
        for kind, relation in (("behind", "is worse than"), ("open", "is not shown to be better than")):
            named = [f"{b} ({difference(rows[b])}, Holm {p_value(rows[b].p_adjusted)})" for b in compared[kind]]
            if named:
                yield f"On {record.split} it {relation} {', '.join(named)}."


def _simulated(evidence: Evidence) -> Iterator[str]:
    if evidence.task.source.trains_on != "findings":
        return
    simulated, real = ([r for r in evidence.published if evidence.simulated(r) == kind] for kind in (True, False))
    if not real:
        yield "It was tested on simulated patients only: nothing here says how it does on real ones."
    elif simulated:
        easy, hard = simulated[0], next((r for r in real if r.split == evidence.headline.split), real[0])
        value = {r.split: r.systems[evidence.tuned].metrics["accuracy"].value for r in (easy, hard)}
        flattered = value[easy.split] > value[hard.split]
        yield (
            f"On simulated patients ({easy.split}) its accuracy is {_accuracy(evidence, easy)}, on real ones"
            f" ({hard.split}) {_accuracy(evidence, hard)}"
            + (": what it learnt of the simulator does not carry over whole." if flattered else ".")
        )


def _accuracy(evidence: Evidence, record: Record) -> str:
    return cell(record.systems[evidence.tuned].metrics["accuracy"])


def _overlap(evidence: Evidence) -> Iterator[str]:
    for record in evidence.records:
        overlap = record.contamination
        if overlap is None:
            yield f"Nobody measured how much of {record.split} stands in the training data."
            continue
        words = {"normalised": "word for word", "near": "nearly", "ngrams": "in most of their phrases"}
        cases = [f"{cases} {words[measure]}" for measure, cases in overlap.similar.items() if cases]
        if cases:
            reason = f" (allowed by the recipe: {overlap.allowed})" if overlap.allowed else ""
            held_out = f"Of the {record.n} cases of {record.split}"
            yield f"{held_out}, the training data holds {', '.join(cases)}{reason}."


def _calibration(evidence: Evidence) -> Iterator[str]:
    calibration = evidence.system.calibration
    before, after = calibration.before, calibration.after
    if before is None or before.ece is None:
        yield "It gives no probabilities: nothing says when to doubt it."
        return
    bins = before.reliability
    sure = sum(row.n * row.confidence for row in bins) / sum(row.n for row in bins)
    right = evidence.system.metrics["accuracy"].value
    kind = "overconfident" if sure > right else "underconfident"
    chance = ", which may be chance" if before.ece.low == 0 else ""
    tempered = f"; {cell(after.ece)} after temperature {calibration.temperature:.2f}" if after else ""
    yield (
        f"Its probabilities are {kind}: {sure:.2f} sure on average, right in {right:.2f} of the cases (expected"
        f" calibration error {cell(before.ece)}{tempered}){chance}."
    )


def _abstention(evidence: Evidence) -> Iterator[str]:
    abstention = evidence.system.calibration.abstention
    if abstention is None:
        return
    target = f"{abstention.target_accuracy:.0%}"
    if abstention.threshold is None:
        yield f"It cannot be made safe by abstaining: no confidence threshold reached {target} on validation."
    elif abstention.accuracy is not None and abstention.coverage is not None:
        reached = abstention.accuracy.value >= abstention.target_accuracy
        yield (
            f"Abstaining below a confidence of {abstention.threshold:.2f}, chosen for {target} on validation, answers"
            f" {abstention.coverage.value:.0%} of {evidence.headline.split} with accuracy"
            f" {cell(abstention.accuracy)}: the target is {'' if reached else 'not '}kept."
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
    measured = evidence.robustness.get(evidence.headline.split)
    flips = [
        (record.top_1_flip_rate, record.change, record)
        for record in (measured.records[evidence.tuned] if measured else ())
        # Negated findings are another case: a new answer is no fault there.
        if record.perturbation != "negated"
    ]
    changed = [(rate, change, record) for rate, change, record in flips if rate and change]
    if changed:
        rate, change, worst = max(changed, key=lambda item: item[0].value)
        yield (
            f"Changing the text changes its answers, most of all {perturbation_label(worst)}: the first answer is"
            f" another one in {cell(rate)} of the cases; accuracy changes by {difference(change)}."
        )


def _closed(evidence: Evidence) -> Iterator[str]:
    if evidence.task.scorer == "multiple_choice":
        yield "It always chooses one of the options that it is shown, right or not: no patient comes with any."
    elif labels := evidence.data_report.labels:
        yield f"It always names one of its {len(labels)} labels: a patient who has none of them gets one all the same."


def _size(evidence: Evidence) -> Iterator[str]:
    record = evidence.headline
    rows = record.against(evidence.tuned)
    seen = rows[evidence.best_other].minimum_detectable_difference if evidence.best_other else None
    if seen:
        yield (
            f"The {record.n} cases of {record.split} show a difference to {evidence.best_other} from {seen:.2f}"
            " on; a smaller one they would miss."
        )
    for few in evidence.published:
        if any(row.interval_method == "too_few_groups" for row in few.comparisons):
            yield f"{few.split} has {few.n} cases of {few.groups} groups: too few for any conclusion."
    seed = f"It was trained with one seed ({evidence.manifest.seed}): with another it scores otherwise."
    yield f"{seed} {evidence.spread or 'By how much, nobody has measured.'}"


def _merged(evidence: Evidence) -> Iterator[str]:
    parity = evidence.headline.parity
    if evidence.recipe.lora is None:
        return
    if parity is None:
        yield "The merged model was not evaluated: nothing is known of how it differs from the adapter."
        return
    moved = parity.max_probability_difference  # None for answers without probabilities
    yield (
        f"The merged model gives the adapter's first label in {parity.same_first_label} of {parity.n} cases, its whole"
        f" ranking in {parity.same_ranking};"
        f" {'it has no probabilities' if moved is None else f'probabilities differ by {moved:.2g} at most'}:"
        f" {'within' if parity.holds else 'NOT within'} the bound of {parity.bound:g}."
    )
