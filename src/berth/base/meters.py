"""What a process counts and times, for Prometheus: a registry of its own, small enough to be handed down.

Whoever does something worth counting says so with a `Measure`; what is a state rather than an event is asked for when
somebody looks. Nothing here blocks or can fail a caller.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ANSWER_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LABELS = ("method", "path", "status")


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is counted, or with `buckets` a distribution. Labels take few values, and never a customer's."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What something stands at now: a value for each combination of labels."""

    name: str
    help: str
    values: Sequence[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()
    is_total: bool = False
    """It only ever grows while the process lives."""


Source = Callable[[], Iterable[Reading]]


class Meters:
    """One process's own. Safe from every thread; `requests.note` is the event loop's alone, and read from any."""

    def __init__(self, measures: Iterable[Measure] = ()) -> None:
        self.requests = Requests()
        self._registry = CollectorRegistry()
        self._registry.register(self.requests)
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._sources: list[Source] = []
        for measure in measures:
            if measure.buckets is None:
                self._counter(measure)
            else:
                self._histogram(measure)

    def add(self, measure: Measure, amount: float = 1, **labels: str) -> None:
        counter = self._counter(measure)
        (counter.labels(**labels) if measure.labels else counter).inc(amount)

    def observe(self, measure: Measure, value: float, **labels: str) -> None:
        histogram = self._histogram(measure)
        (histogram.labels(**labels) if measure.labels else histogram).observe(value)

    def watch(self, source: Source) -> None:
        """Asks `source` each time somebody looks."""
        self._sources.append(source)

    def text(self, readings: Iterable[Reading] = ()) -> bytes:
        """Everything, with `readings`, in Prometheus' text format."""
        read = [*readings, *(reading for source in self._sources for reading in source())]
        return generate_latest(_All(self._registry, read))

    def _counter(self, measure: Measure) -> Counter:
        found = self._counters.get(measure.name)
        if found is None:
            found = Counter(measure.name, measure.help, measure.labels, registry=self._registry)
            self._counters[measure.name] = found
        return found

    def _histogram(self, measure: Measure) -> Histogram:
        found = self._histograms.get(measure.name)
        if found is None:
            buckets = measure.buckets or Histogram.DEFAULT_BUCKETS
            found = Histogram(
                measure.name, measure.help, measure.labels, registry=self._registry, buckets=buckets
            )
            self._histograms[measure.name] = found
        return found


class Requests(Collector):
    """Requests and how long they took. Plain numbers: on the path of every request, locks would be most of the cost."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int], tuple[list[int], list[float]]] = {}

    def note(self, method: str, path: str, status: int, seconds: float) -> None:
        """`path` is a route's pattern, or `unmatched`."""
        key = (method if method in _METHODS else "other", path, status)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = ([0] * (len(_ANSWER_S) + 1), [0.0])
        kept[0][bisect_left(_ANSWER_S, seconds)] += 1
        kept[1][0] += seconds

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily("http_requests", "Requests answered.", labels=_LABELS)
        durations = HistogramMetricFamily(
            "http_request_duration_seconds", "From a request's headers to its answer.", labels=_LABELS
        )
        for (method, path, status), (counts, (seconds,)) in list(self._kept.items()):
            labels = (method, path, str(status))
            total.add_metric(labels, sum(counts))
            so_far, buckets = 0, []
            for bound, count in zip((*map(str, _ANSWER_S), "+Inf"), counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            durations.add_metric(labels, buckets, seconds)
        yield total
        yield durations


class _All:
    """What `generate_latest` asks: what is counted, and what was read just now."""

    def __init__(self, registry: CollectorRegistry, readings: Sequence[Reading]) -> None:
        self._registry = registry
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        for reading in self._readings:
            family = (CounterMetricFamily if reading.is_total else GaugeMetricFamily)(
                reading.name, reading.help, labels=reading.labels
            )
            for labels, value in reading.values:
                family.add_metric(labels, value)
            yield family
