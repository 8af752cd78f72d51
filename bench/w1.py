"""W1, searching offers: a page of 50 of the cheapest, beside gpuhunt with the same offers in memory, in one process.

Every answer is compared with that of a scan of all offers before anything is timed, and gpuhunt's with ours where its
filters can express the question.
"""

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Sequence

from gpuhunt import Catalog

from bench import machine, offers
from bench.databases import Databases
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.offers import Question
from bench.options import Options
from berth.core.catalog.inventory import Inventory, Listed, Order, Wanted, scan

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
_LIMIT = "gpuhunt, mixed"
_TARGETS = {10_000: ("", 300), 100_000: ("≤ 0.25 ms", 500), 1_000_000: ("≤ 2 ms", 500)}
"""By size: the mean, and how many times gpuhunt."""
_SEARCHES = 4000
"""That are timed in one step, of ours."""
_FEW = 2 * offers.KINDS
"""Questions that gpuhunt is asked in one step where each takes it a second: two of each kind."""
_MANY_OFFERS = 1_000_000


def run(_databases: Databases, options: Options) -> list[Result]:
    machine.pin(machine.SERVER_CORE if options.pinned else None)
    return [_measured(size, options) for size in (QUICK_SIZES if options.is_quick else SIZES)]


def _measured(size: int, options: Options) -> Result:
    every = offers.offers(size)
    began_s = time.perf_counter()
    inventory = offers.inventory(every)
    built_s = time.perf_counter() - began_s
    catalog = offers.hunt(every)
    mixed, adversarial = offers.mixed(), offers.adversarial()
    _check(every, inventory, catalog, mixed, adversarial)
    hunted = mixed[:_FEW] if size >= _MANY_OFFERS else mixed
    target, times = _TARGETS.get(size, ("", 0))
    counted = [_counted(question) for question in mixed]
    steps = [
        Step(_LIMIT, "ms", lambda: _timed(lambda each: catalog.query(**each.hunted), hunted, 1)),
        Step("mixed", "ms", lambda: _ours(inventory, mixed), _LIMIT, target),
        Step(
            "adversarial",
            "ms",
            lambda: _ours(inventory, adversarial),
            _LIMIT,
            f"{target}, p99 ≤ 8 ms" if target else "",
        ),
        Step("mixed, with the total, by confidence", "ms", lambda: _ours(inventory, counted), _LIMIT),
    ]
    gc.collect()
    gc.freeze()  # neither side pays for looking through the other's objects
    result = interleave(f"W1 offer search, {size:,} offers", steps, rounds=options.rounds)
    gc.unfreeze()
    for name in ("mixed", "adversarial"):
        faster = [1 / share for share in result.line(name).shares]
        wanted = f", wanted ≥ {times}×" if times and name == "mixed" else ""
        result.notes.append(
            f"{name}: {statistics.median(faster):.0f}× gpuhunt ({min(faster):.0f} – {max(faster):.0f}){wanted}"
        )
    result.notes.append(f"made in {built_s:.2f} s, beside the searches, when something has changed")
    return result


def _counted(question: Question) -> Question:
    wanted = dataclasses.replace(question.wanted, counts=True, order=Order.CONFIDENCE)
    return dataclasses.replace(question, wanted=wanted)


def _ours(inventory: Inventory, questions: Sequence[Question]) -> Sample:
    return _timed(lambda each: inventory.search(each.wanted), questions, max(1, _SEARCHES // len(questions)))


def _timed(ask: Callable[[Question], object], questions: Sequence[Question], repeats: int) -> Sample:
    took_ms = []
    for _ in range(repeats):
        for question in questions:
            began = time.perf_counter_ns()
            ask(question)
            took_ms.append((time.perf_counter_ns() - began) / 1e6)
    took_ms.sort()
    return Sample(
        statistics.fmean(took_ms),
        p50_ms=percentile(took_ms, 50),
        p99_ms=percentile(took_ms, 99),
        rss_mb=None,
    )


def _check(
    every: Sequence[Listed],
    inventory: Inventory,
    catalog: Catalog,
    mixed: Sequence[Question],
    adversarial: Sequence[Question],
) -> None:
    """Raises AssertionError where an answer is not that of a scan, or gpuhunt finds another number."""
    for question in [*mixed, *adversarial]:
        for wanted in (question.wanted, _counted(question).wanted):
            _same(inventory, every, wanted)
    for question in mixed[:_FEW]:
        if question.is_whole:
            total = inventory.search(dataclasses.replace(question.wanted, counts=True)).total
            assert len(catalog.query(**question.hunted)) == total, question


def _same(inventory: Inventory, every: Sequence[Listed], wanted: Wanted) -> None:
    found, expected = inventory.search(wanted), scan(every, wanted)
    assert found.total == expected.total, wanted
    assert [offer.id for offer in found.offers] == [offer.id for offer in expected.offers], wanted
