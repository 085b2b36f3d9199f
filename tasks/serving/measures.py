"""What a model server counts, as Prometheus reads it."""

import pandas as pd
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Measures:
    """Requests, examples and versions of one server; label names are not counted, as there can be thousands."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "acclimate_requests", "Requests for predictions, by status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "acclimate_request_seconds", "Time to answer them.", buckets=SECONDS, registry=self.registry
        )
        self.examples = Counter("acclimate_examples", "Examples predicted.", registry=self.registry)
        self.asked = Counter(
            "acclimate_examples_for_a_person", "Examples that a person should decide.", registry=self.registry
        )
        self.outside = Counter("acclimate_examples_outside", "Examples of none of the classes.", registry=self.registry)
        self.version = Gauge(
            "acclimate_model_info", "1 of the version that answers.", ["model", "version"], registry=self.registry
        )
        self.reloads = Counter(
            "acclimate_reloads", "New champions, by what became of them.", ["outcome"], registry=self.registry
        )

    def count_answers(self, answers: pd.DataFrame) -> None:
        """Count the rows that a model answered."""
        self.examples.inc(len(answers))
        self.asked.inc(int((answers["ask"] != "").sum()))
        if "outside" in answers:
            self.outside.inc(int(answers["outside"].sum()))

    def serves(self, name: str, version: str) -> None:
        """Note which version answers from now on."""
        self.version.clear()
        self.version.labels(name, version).set(1)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
