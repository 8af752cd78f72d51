"""The stand-in for TensorDock as a process of its own, which outlives whoever buys from it: `python -m …process`.

Its first line says where it is. `GET /_test/meter` there says what it sold and what that cost, whoever asks.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Sequence

from tests.drivers.tensordock.doors import Doors
from tests.drivers.tensordock.service import TOKEN, Service, serving


async def run(arguments: argparse.Namespace) -> None:
    doors = Doors() if arguments.ssh else None
    service = Service(seed=arguments.seed, doors=doors)
    service.faults.chance = arguments.chance
    service.faults.keeps_listing = arguments.keeps_listing
    service.faults.lists_late = arguments.lists_late
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(service, port=arguments.port) as url:
        print(json.dumps({"url": url, "token": TOKEN}), flush=True)  # noqa: T201 - says where it is
        await stopped.wait()
    if doors is not None:
        doors.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--seed", type=int, default=0, help="of its misfortunes")
    parser.add_argument("--chance", type=float, default=0.0, help="how likely each call is to meet one")
    parser.add_argument("--lists-late", type=int, default=0, help="lists that do not show yet what is new")
    parser.add_argument("--keeps-listing", type=int, default=0, help="lists that show what was deleted")
    parser.add_argument("--ssh", action="store_true", help="let people in over SSH")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
