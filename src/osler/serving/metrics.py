"""What Prometheus reads at ``/metrics``: never a text, and labels of the panel alone."""

from __future__ import annotations

from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from osler.serving.diagnosis import Diagnosis

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16)


class Metrics:
    """The counts of one server; ``queued`` says how many texts wait, ``unkept`` how many answers are not in the store
    yet."""

    def __init__(self, queued: Callable[[], int], unkept: Callable[[], int]) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("osler_requests", "Answered requests", ["path", "status"], registry=registry)
        self.latency = Histogram(
            "osler_request_seconds", "From a request to its answer", ["path"], buckets=SECONDS, registry=registry
        )
        self.batches = Histogram("osler_batch_size", "Texts in a pass of the model", buckets=SIZES, registry=registry)
        self.passes = Histogram("osler_pass_seconds", "What a pass takes", buckets=SECONDS, registry=registry)
        self.diagnoses = Counter("osler_diagnoses", "First diagnoses", ["model", "label"], registry=registry)
        self.abstentions = Counter("osler_abstentions", "Answers that were too unsure", ["model"], registry=registry)
        self.warnings = Counter("osler_warnings", "Texts with something unusual", ["model"], registry=registry)
        Gauge("osler_queue_length", "Texts that wait", registry=registry).set_function(queued)
        Gauge("osler_unkept_answers", "Answers not in the store yet", registry=registry).set_function(unkept)

    def requested(self, path: str, status: int, seconds: float) -> None:
        """A request was answered; ``path`` is that of a route."""
        self.requests.labels(path, status).inc()
        self.latency.labels(path).observe(seconds)

    def passed(self, size: int, seconds: float) -> None:
        """A batch was answered."""
        self.batches.observe(size)
        self.passes.observe(seconds)

    def answered(self, answer: Diagnosis, panel: Collection[str]) -> None:
        """A text was answered; only labels of the ``panel`` are counted, for others may quote the text."""
        model = answer.model.name
        if answer.diagnoses and answer.diagnoses[0].label in panel:
            self.diagnoses.labels(model, answer.diagnoses[0].label).inc()
        self.abstentions.labels(model).inc(answer.abstained)
        self.warnings.labels(model).inc(bool(answer.warnings))

    def render(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
