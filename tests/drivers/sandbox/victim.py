"""A control plane that kills itself at a named moment of a named verb. Started by `killing`."""

import asyncio
import os
import pickle
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from berth.drivers.sandbox import SandboxDriver

BEHIND_THE_ANSWER = ("copying", "finishing")
"""Moments that may come once the verb has answered."""


def watch(at: str) -> None:
    """Ends this process when the interpreter reports the operation that `at` stands for.

    `awaiting` is for `watch_calls`. Any other word stands for the moment when the verb has answered.
    """

    def is_moment(event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "os.rename":
            source, target = str(arguments[0]), str(arguments[1])
            return (
                (at == "building" and source.endswith(".creating"))
                or (at == "condemning" and target.endswith(".deleting"))
                or (at == "recording" and target.endswith("run.json"))
                or (at == "attaching" and target.endswith("attached.json"))
                or (at == "growing" and target.endswith("spec.json"))
                or (at == "finishing" and target.endswith("spec.json") and ".creating" not in target)
                or (at == "packing" and target.endswith("disk/root"))
                or (at == "shelving" and source.endswith("/disk"))
                or (at == "deciding" and target.endswith("disk.json"))
            )
        if event == "socket.bind":
            # The port is tried while the tree is made, and taken once the instance is in place.
            return at == "listening" and is_in_place()
        if event == "subprocess.Popen":
            return at == "launching" or (at == "copying" and str(arguments[0]).endswith("/cp"))
        if event == "os.rmdir":
            return at == "removing" and ".deleting" in str(arguments[0])
        return False

    def is_in_place() -> bool:
        return any(path.name.isalnum() for path in (state_dir / "instances").iterdir())

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if is_moment(event, arguments):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)


def watch_calls(frame: FrameType, event: str, _argument: object) -> None:
    """Ends this process when the launcher is started and nobody has read yet what bubblewrap says of it."""
    if event == "call" and frame.f_code.co_name == "_await_status":
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    driver = SandboxDriver(config)
    if at == "awaiting":
        threading.setprofile(watch_calls)
    watch(at)
    await getattr(driver, verb)(*arguments, **named)
    if at in BEHIND_THE_ANSWER:
        await asyncio.Event().wait()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    config, verb, arguments, named, at = pickle.loads(Path(sys.argv[1]).read_bytes())
    state_dir = config.state_dir
    asyncio.run(main())
