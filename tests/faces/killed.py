"""A process that serves one deploy and is killed in the middle of it: run by the tests of idempotency.

Arguments: the database's address, a project's API key, the request's body, and when to die.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from berth.base.clock import SystemClock
from berth.base.db import Tx, connect
from berth.faces import huddle
from berth.faces.face import Context
from tests import make
from tests.faces.conftest import Client

BEFORE_THE_COMMIT = "before the commit"
BEFORE_THE_ANSWER = "before the answer"


class Doomed:
    """The database of a process that dies with its first write, before or after that is durable."""

    def __init__(self, url: str, moment: str) -> None:
        self._whole = connect(url, SystemClock())
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    async def write(self, verb: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if getattr(verb, "__name__", "") == "touch_key":
            return None
        if self._moment == BEFORE_THE_COMMIT:
            await self._whole.write(_work_and_die, verb, args, kwargs)
        await self._whole.write(verb, *args, **kwargs)
        return _die()


def _work_and_die(tx: Tx, verb: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    verb(tx, *args, **kwargs)
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    url, key, body, moment = sys.argv[1:]
    context = Context(
        db=Doomed(url, moment),
        clock=SystemClock(),
        pepper=make.PEPPER,
        rules=make.RULES,
        poke=lambda _loop: None,
        version="0.0.0-test",
    )
    client = Client(huddle.build(context), key)
    asyncio.run(client.post("/deployments/clusters", body, idempotency_key="run-1"))
    sys.exit("survived")


if __name__ == "__main__":
    main()
