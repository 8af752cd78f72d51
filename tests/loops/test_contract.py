"""The loop contract, for every loop that has a rig."""

import pytest

from tests.contract.loop import LoopContract, Rig
from tests.loops.rigs import RIGS


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]


class TestLoops(LoopContract):
    """Runs each test of the contract against each rig."""
