"""The stand-in as a process of its own: it outlives whoever buys from it, and what it keeps outlives it."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.drivers.vastai.contracts import Contract
from tests.drivers.vastai.login import Logins
from tests.drivers.vastai.service import Service, serving

_WRITE_EVERY_S = 0.5


class Kept:
    """What the service knows, in a file: written soon after a change, and read when it starts."""

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._path = path
        self._is_due = False

    def read(self) -> None:
        if not self._path.exists():
            return
        for row in json.loads(self._path.read_text(encoding="utf-8")):
            contract = Contract(**row)
            contract.attached = {key: (str(text), int(at)) for key, (text, at) in contract.attached.items()}
            contract.stretches = [(int(since), int(until)) for since, until in contract.stretches]
            self._service.take(contract)

    def changed(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_WRITE_EVERY_S, self.write)

    def write(self) -> None:
        self._is_due = False
        part = self._path.with_suffix(".part")
        part.write_text(
            json.dumps([asdict(each) for each in self._service.contracts.values()]), encoding="utf-8"
        )
        part.replace(self._path)


async def run(arguments: argparse.Namespace) -> None:
    logins = Logins("127.0.0.1") if arguments.ssh else None
    service = Service(
        offers=arguments.offers, seed=arguments.seed, logins=logins, attach_s=arguments.attach_s
    )
    service.faults.change(json.loads(arguments.faults))
    kept = Kept(service, arguments.state) if arguments.state else None
    if kept is not None:
        kept.read()
        await service.open_doors()
        service.changed = kept.changed
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(service, port=arguments.port) as address:
        print(json.dumps({"url": address, "pid": os.getpid()}), flush=True)  # noqa: T201 - says where it is
        await stopped.wait()
    if kept is not None:
        kept.write()
    if logins is not None:
        logins.close_all()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--port", type=int, default=0, help="0: any; the first line that is printed says which"
    )
    parser.add_argument("--state", type=Path, help="a file that keeps instances and the meter")
    parser.add_argument("--offers", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the market; that of the faults is one of them"
    )
    parser.add_argument(
        "--faults", default="{}", help="members of Faults, as JSON; PUT /_control/faults changes them"
    )
    parser.add_argument("--ssh", action="store_true", help="instances can be logged in to, with their keys")
    parser.add_argument(
        "--attach-s", type=float, default=0.0, help="seconds until a key that was attached opens"
    )
    asyncio.run(run(parser.parse_args(arguments)))
