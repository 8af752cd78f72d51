"""Every driver's rigs for the contract suite: a new driver adds one line."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.contract.driver import Rig
from tests.drivers.incus.rig import open_incus
from tests.drivers.sandbox.rig import open_sandbox
from tests.drivers.tensordock.rig import open_tensordock
from tests.drivers.vastai.rig import open_vastai
from tests.drivers.verda.rig import open_verda
from tests.drivers.verda.upstream import open_berth

RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {
    "sandbox": open_sandbox,
    "vastai": open_vastai,
    "incus": open_incus,
    "verda": open_verda,
    "verda-berth": open_berth,
    "tensordock": open_tensordock,
}
"""By the driver's name; further rigs of one driver have something after a dash."""
