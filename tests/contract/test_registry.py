"""Nothing is registered without a rig: a driver, loop or face that no contract suite runs fails here."""

from berth import app, providers
from berth.faces import huddle, shopper, verda
from tests.drivers import rigs as drivers
from tests.faces import conftest as faces
from tests.faces import samples as retail_samples
from tests.faces.shopper import conftest as brokers
from tests.faces.shopper import samples as broker_samples
from tests.faces.verda import conftest as iaas
from tests.faces.verda import samples as iaas_samples
from tests.loops import rigs as loops

PAGES = {
    huddle.PREFIX: ("/openapi.json", "/docs"),
    huddle.NESTED_PREFIX: ("/openapi.json", "/docs"),
    verda.PREFIX: ("/openapi.json", "/docs"),
    shopper.PREFIX: ("/api/v1/inventory/openapi.json", "/api/v1/inventory/docs"),
}


def test_every_driver_has_a_rig() -> None:
    """What follows a dash in the name of a rig says which of a driver's rigs it is."""
    assert {name.partition("-")[0] for name in drivers.RIGS} == set(providers.DRIVERS)
    assert set(providers.DRIVERS) <= set(drivers.RIGS)


def test_every_loop_has_a_rig() -> None:
    assert set(loops.RIGS) == {loop.name for loop in app.LOOPS}


def test_every_face_has_a_rig() -> None:
    """`Shop.client` and `Shop.nested` are what the tests of the retail API call, `Cloud.client` those of the IaaS API,
    `Broker.client` those of the shopper API.
    """
    assert {huddle.PREFIX, huddle.NESTED_PREFIX, verda.PREFIX, shopper.PREFIX} == set(app.FACES)
    assert (huddle.PREFIX, verda.PREFIX, shopper.PREFIX) == (faces.PREFIX, iaas.PREFIX, brokers.PREFIX)


def test_every_route_of_every_face_has_a_sample() -> None:
    for routes, samples in (
        (huddle.ROUTES, retail_samples.SAMPLES),
        (verda.ROUTES, iaas_samples.SAMPLES),
        (shopper.ROUTES, broker_samples.SAMPLES),
    ):
        assert set(samples) == {(route.method, route.path) for route in routes}


def test_every_route_is_found_at_its_face_and_none_is_shadowed() -> None:
    """Two faces share `/api/v1`: whatever one of them serves, the paths of the other must not take away."""
    for prefix, routes in (
        (huddle.PREFIX, huddle.ROUTES),
        (huddle.NESTED_PREFIX, huddle.ROUTES),
        (verda.PREFIX, verda.ROUTES),
        (shopper.PREFIX, shopper.ROUTES),
    ):
        assert {app.prefix_of(prefix + route.path) for route in routes} == {prefix}
        assert {app.prefix_of(prefix + page) for page in PAGES[prefix]} == {prefix}


def test_a_path_beside_those_of_the_shopper_api_is_not_its_own() -> None:
    for path in ("/api/v1", "/api/v1/inventor", "/api/v1/inventory2", "/api/v1/sessionsx/y", "/api/v1/Costs"):
        assert app.prefix_of(path) == huddle.PREFIX
    for path in ("/healthz", "/metricsx", "/", "", "/nothing"):
        assert app.prefix_of(path) is None
    assert app.prefix_of("/hudl/api/v1/inventory") == huddle.NESTED_PREFIX
    assert app.prefix_of("/v1/inventory") == verda.PREFIX


def test_loops_have_names_of_their_own() -> None:
    assert len({loop.name for loop in app.LOOPS}) == len(app.LOOPS)
