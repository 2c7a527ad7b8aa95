"""Alarms as others take them: lines for a terminal, an e-mail, gauges for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osler.monitoring.records import Accuracy, Monitoring, Swapped
from osler.rendering import cell, signed_cell

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SELECTED = (
    "judged cases are a selection: what people look at, and doubt, is not like the rest, so this need not be the"
    " accuracy on all"
)
CONCEPT = "the estimate holds while the same words mean the same diseases; it may miss that new ones come up"


def lines(report: Monitoring) -> list[str]:
    """What was seen, for a terminal."""
    said = [f"{report.model}@{report.version}, {report.task}: {report.n:,} cases beside {compared(report)}"]
    said.append(f"accuracy, estimated without labels: {cell(report.accuracy.estimated)}")
    if report.accuracy.estimated and (off := misjudged(report)):
        said.append(f"but {off}")
    said.append(f"accuracy, of {judged(report.accuracy, report.n)}: {cell(report.accuracy.realised)}")
    if report.disputed:
        said.append(f"raters disagree on {report.disputed:,} cases; they count as not judged")
    said.append(f"too unsure to be told: {cell(report.accuracy.abstained)}")
    said += lines_of_swaps(report)
    said += [f"not watched: {feature}: {why}" for feature, why in report.reference.not_watched.items()]
    if report.alarms and report.n < report.window:
        said.append(_early(report))
    said += [f"ALARM {alarm.text}" for alarm in report.alarms] or [headline(report)]
    return said


def headline(report: Monitoring) -> str:
    """How many alarms there are, and what was not looked at: there silence says nothing."""
    n, early = len(report.alarms), report.n < report.window
    told = f"{n} alarm{'s' if n > 1 else ''}" if n else "no alarm"
    if early:
        told += f"{'; ' if n else ' yet: '}{_early(report)}"
    if unwatched := report.reference.not_watched:
        told += f"; not watched: {', '.join(unwatched)}"
    return told


def _early(report: Monitoring) -> str:
    return f"drift was not looked at ({report.n} of {report.window} cases)"


def lines_of_swaps(report: Monitoring) -> list[str]:
    """What each swap did."""
    return [_swapped(swap) for swap in report.swaps or ()]


def _swapped(swap: Swapped) -> str:
    """What a swap did, in a line."""
    name, before = swap.swap.replace("_", " "), swap.evaluated and swap.evaluated.top_1_flip_rate
    if swap.flip_rate is None:
        return f"{name}: {swap.n:,} texts changed, too few to say anything; nothing to exchange in {swap.unchanged:,}"
    parts = [f"{name}: another first answer to {cell(swap.flip_rate)} of {swap.n:,} texts"]
    parts += [f"{cell(before)} in the evaluation"] if before else []
    parts += [f"probability {signed_cell(swap.probability)}"] if swap.probability else []
    if swap.change:
        parts.append(f"accuracy of {swap.judged:,} judged {signed_cell(swap.change)}")
    return "; ".join(parts)


def misjudged(report: Monitoring) -> str | None:
    """That the estimate was off in the evaluation itself, where that was more than chance."""
    bias = report.reference.bias
    if bias is None or bias.low is None or bias.high is None or bias.low <= 0 <= bias.high:
        return None
    off = "higher" if bias.value > 0 else "lower"
    told = signed_cell(bias)
    return f"accuracy was {off} than such an estimate in the evaluation itself, by {told}: believe it as little here"


def compared(report: Monitoring) -> str:
    """What it is compared with."""
    return f"the {report.reference.n:,} of its evaluation on {report.reference.split}"


def judged(accuracy: Accuracy, n: int) -> str:
    """Of how many cases the realised accuracy is."""
    if accuracy.judged < n:
        return f"the {accuracy.judged:,} judged of {n:,} cases"
    return f"all {n:,} cases"


def email(report: Monitoring) -> str:
    """Subject and body of a message, as plain text; nothing is sent."""
    subject = f"Subject: {report.model}: {headline(report)}"
    first, last = report.windows[0].begins, report.windows[-1].ends
    period = f"{first:%Y-%m-%d %H:%M %Z} to {last:%Y-%m-%d %H:%M %Z}"
    notes = [f"Without shift, {report.false_alarms.budget:g} false alarm in 10,000 cases is to be expected, at most."]
    notes += [f"Note: {SELECTED}."] if 0 < report.accuracy.judged < report.n else []
    notes += [f"Note: {CONCEPT}."] if report.accuracy.estimated else []
    alarms = [f"* {alarm.at:%Y-%m-%d %H:%M}: {alarm.text}" for alarm in report.alarms]
    seen = [line for line in lines(report) if not line.startswith("ALARM")]
    return "\n".join([subject, "", f"Seen from {period}.", "", *alarms, *[""][: len(alarms)], *seen, "", *notes, ""])


class Gauges:
    """What Prometheus reads of a report: no text, and no label but the model's, the features' and the kinds'."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Gauge

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"osler_monitored_{name}", about, ["model", *labels], registry=registry)

        self._cases = gauge("cases", "Cases that were looked at")
        self._psi = gauge("psi", "Population stability index of the last full window", "feature")
        self._limit = gauge("psi_limit", "What it is within where nothing has shifted", "feature")
        self._estimated = gauge("estimated_accuracy", "Accuracy estimated without labels", "bound")
        self._realised = gauge("realised_accuracy", "Accuracy of the judged cases", "bound")
        self._judged = gauge("judged_cases", "Cases with a verdict")
        self._abstained = gauge("abstained_share", "Answers too unsure to be told", "bound")
        self._alarms = gauge("alarms", "Alarms of this period", "kind")

    def set(self, report: Monitoring) -> None:
        """Show ``report``."""
        model = report.model
        self._cases.labels(model).set(report.n)
        full = [window for window in report.windows if window.drift]
        for feature, shift in full[-1].drift.items() if full else ():
            self._psi.labels(model, feature).set(shift.psi)
            self._limit.labels(model, feature).set(shift.limit)
        seen = report.accuracy
        self._judged.labels(model).set(seen.judged)
        for gauge, estimate in (
            (self._estimated, seen.estimated),
            (self._realised, seen.realised),
            (self._abstained, seen.abstained),
        ):
            for bound in ("value", "low", "high") if estimate else ():
                if (number := getattr(estimate, bound)) is not None:
                    gauge.labels(model, bound).set(number)
        for kind in report.false_alarms.shares:
            self._alarms.labels(model, kind).set(sum(alarm.kind == kind for alarm in report.alarms))


def exposition(report: Monitoring) -> bytes:
    """The gauges of ``report`` in Prometheus's text format, as node_exporter's textfile collector takes them."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    Gauges(registry).set(report)
    return generate_latest(registry)
