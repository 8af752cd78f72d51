"""The driver contract, for every driver that has a rig."""

from pathlib import Path

import pytest

from tests.contract.disks import DiskContract
from tests.contract.driver import DriverContract, OpenRig
from tests.contract.volumes import VolumeContract
from tests.drivers.rigs import RIGS

ON_ONE_CLUSTER = (pytest.mark.xdist_group("incus"), pytest.mark.timeout(600))
"""Tests that share a real cluster run one after another, and the first waits for it and its image."""


@pytest.fixture(params=[pytest.param(name, marks=ON_ONE_CLUSTER if name == "incus" else ()) for name in RIGS])
def open_rig(request: pytest.FixtureRequest, tmp_path: Path) -> OpenRig:
    return lambda: RIGS[request.param](tmp_path)


class TestDrivers(DriverContract):
    """Runs each test of the contract against each rig."""


class TestVolumes(VolumeContract):
    """The same for the verbs of volumes, where the driver has them."""


class TestDisks(DiskContract):
    """Run by every driver of the parts list."""
