"""Whether what is about to be sent may still be sent.

Work that was allowed when it began may be many calls long, and its process may be stopped between any two of them. So
whoever sends something that changes anything looks once more, as late as it can.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nothing_forbids() -> None:
    """Where nobody has set a condition."""


_current: ContextVar[Callable[[], None]] = ContextVar("permit", default=_nothing_forbids)


@contextmanager
def under(check: Callable[[], None]) -> Iterator[None]:
    """What is sent in this block, by this task and those that it starts, is sent only while `check` does not raise."""
    before = _current.set(check)
    try:
        yield
    finally:
        _current.reset(before)


def check() -> None:
    """Raises what the block's own check raises."""
    _current.get()()
