"""Every driver's rigs for the contract suite: a new driver adds one line."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.contract.driver import Rig
from tests.drivers.incus.rig import open_incus
from tests.drivers.sandbox.rig import open_sandbox
from tests.drivers.verda.rig import open_verda
from tests.drivers.verda.upstream import open_berth

RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {
    "sandbox": open_sandbox,
    "incus": open_incus,
    "verda": open_verda,
    "verda-berth": open_berth,
}
"""By the driver's name; further rigs of one driver have something after a dash."""
