"""Nothing is registered without a rig: a driver, loop or face that no contract suite runs fails here."""

from berth import app
from berth.faces import huddle, verda
from tests.drivers import rigs as drivers
from tests.faces import conftest as faces
from tests.faces import samples as retail_samples
from tests.faces.verda import conftest as iaas
from tests.faces.verda import samples as iaas_samples
from tests.loops import rigs as loops


def test_every_driver_has_a_rig() -> None:
    """What follows a dash in the name of a rig says which of a driver's rigs it is."""
    assert {name.partition("-")[0] for name in drivers.RIGS} == set(app.DRIVERS)
    assert set(app.DRIVERS) <= set(drivers.RIGS)


def test_every_loop_has_a_rig() -> None:
    assert set(loops.RIGS) == {loop.name for loop in app.LOOPS}


def test_every_face_has_a_rig() -> None:
    """`Shop.client` and `Shop.nested` are what the tests of the retail API call, `Cloud.client` those of the IaaS API."""
    assert {huddle.PREFIX, huddle.NESTED_PREFIX, verda.PREFIX} == set(app.FACES)
    assert (huddle.PREFIX, verda.PREFIX) == (faces.PREFIX, iaas.PREFIX)


def test_every_route_of_every_face_has_a_sample() -> None:
    for routes, samples in (
        (huddle.ROUTES, retail_samples.SAMPLES),
        (verda.ROUTES, iaas_samples.SAMPLES),
    ):
        assert set(samples) == {(route.method, route.path) for route in routes}


def test_loops_have_names_of_their_own() -> None:
    assert len({loop.name for loop in app.LOOPS}) == len(app.LOOPS)
