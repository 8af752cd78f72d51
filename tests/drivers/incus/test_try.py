"""Scratch."""

from pathlib import Path

import pytest

from tests.contract.disks import DiskContract
from tests.contract.driver import DriverContract, OpenRig
from tests.contract.volumes import VolumeContract
from tests.drivers.incus.rig import SHARED, open_incus


@pytest.fixture
def open_rig(tmp_path: Path) -> OpenRig:
    return lambda: open_incus(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def ending():
    yield
    SHARED.end()


class TestDrivers(DriverContract):
    pass


class TestVolumes(VolumeContract):
    pass


class TestDisks(DiskContract):
    pass
