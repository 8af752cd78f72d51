"""Nothing is registered without a rig: a driver, loop or face that no contract suite runs fails here."""

from berth import app
from tests.drivers import rigs as drivers
from tests.faces import conftest as faces
from tests.loops import rigs as loops


def test_every_driver_has_a_rig() -> None:
    assert set(drivers.RIGS) == set(app.DRIVERS)


def test_every_loop_has_a_rig() -> None:
    assert set(loops.RIGS) == {loop.name for loop in app.LOOPS}


def test_every_face_has_a_rig() -> None:
    assert {faces.PREFIX} == set(app.FACES)


def test_loops_have_names_of_their_own() -> None:
    assert len({loop.name for loop in app.LOOPS}) == len(app.LOOPS)
