"""Runs several pieces of work at the same moment, each in a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from berth.base.db import Database, Tx

_LIMIT_S = 60
_OVERLAP_S = 0.25


def together(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each returned or raised, in order. All begin at once."""
    outcomes: list[Any] = [AssertionError("did not end")] * len(work)
    gate = threading.Barrier(len(work))

    def run(number: int) -> None:
        gate.wait(_LIMIT_S)
        try:
            outcomes[number] = work[number]()
        except Exception as error:  # noqa: BLE001 - it is what the caller asks for
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LIMIT_S)
    return outcomes


def succeeded(outcomes: list[Any]) -> list[Any]:
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)]


def failed(outcomes: list[Any], *allowed: type[Exception]) -> list[Exception]:
    """The exceptions; one that is not of an `allowed` kind is raised."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for error in errors:
        if not isinstance(error, allowed):
            raise error
    return errors


def overlap(db: Database, first: Callable[[Tx], Any], second: Callable[[Tx], Any]) -> list[Any]:
    """Begins `second` after `first` has written and before it commits: the order in which races are lost."""
    written, over = threading.Event(), threading.Event()

    def hold_open(tx: Tx) -> Any:
        try:
            result = first(tx)
        finally:
            written.set()
        over.wait(_OVERLAP_S)  # either it gets through meanwhile, or it waits for us
        return result

    def follow() -> Any:
        written.wait(_LIMIT_S)
        try:
            return db.write_now(second)
        finally:
            over.set()

    return together([lambda: db.write_now(hold_open), follow])
