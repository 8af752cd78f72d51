"""A driver that is counted does what the driver behind it does."""

import inspect
from typing import Any

import pytest

from berth.base.meters import Meters
from berth.core import measures
from berth.core.driver import Driver, DriverError, NoCapacity, OutcomeUnknown, Unreachable
from berth.drivers.metered import Metered
from tests.base.test_meters import samples

VERBS = [
    name
    for name, member in inspect.getmembers(Driver)
    if inspect.iscoroutinefunction(member) and not name.startswith("_")
]


class Noted:
    """Answers each verb with what it was asked."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def __getattr__(self, verb: str) -> Any:
        async def answer(*args: Any, **kwargs: Any) -> Any:
            if self.error is not None:
                raise self.error
            self.asked = (verb, args, kwargs)
            return self.asked

        return answer


def asked(verb: str) -> tuple[list[object], dict[str, object]]:
    """An argument for each parameter, none of them the default."""
    parameters = list(inspect.signature(getattr(Driver, verb)).parameters.values())[1:]
    return (
        [object() for each in parameters if each.kind is not each.KEYWORD_ONLY],
        {each.name: object() for each in parameters if each.kind is each.KEYWORD_ONLY},
    )


def test_it_has_every_verb_of_a_driver() -> None:
    assert {"catalogue", "templates", "create", "destroy", "close"} <= set(VERBS)
    for verb in VERBS:
        own, wanted = (inspect.signature(getattr(of, verb)) for of in (Metered, Driver))
        assert list(own.parameters) == list(wanted.parameters), verb


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_asked_and_answered_passes_through_as_it_is(verb: str) -> None:
    behind = Noted()
    args, kwargs = asked(verb)
    driver: Any = Metered(behind, "p", Meters())
    answer = await getattr(driver, verb)(*args, **kwargs)
    assert (behind.asked[0], list(behind.asked[1]), behind.asked[2]) == (verb, args, kwargs)
    has_answer = inspect.signature(getattr(Driver, verb)).return_annotation is not None
    assert answer == (behind.asked if has_answer else None)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "close"])
@pytest.mark.parametrize("error", [NoCapacity("x"), OutcomeUnknown("x"), Unreachable("x"), TimeoutError()])
async def test_what_it_raises_passes_through_and_is_counted(verb: str, error: DriverError) -> None:
    meters = Meters(measures.ALL)
    args, kwargs = asked(verb)
    driver: Any = Metered(Noted(error), "p", meters)
    with pytest.raises(type(error)) as raised:
        await getattr(driver, verb)(*args, **kwargs)
    assert raised.value is error
    found = samples(meters.text())
    operation = {"list_own": "list", "list_own_volumes": "list_volumes"}.get(verb, verb)
    assert found["gpu_provider_api_calls_total", operation, "p", "error"] == 1
    assert found["gpu_provider_api_errors_total", operation, "p"] == 1
    assert found["gpu_provider_api_response_time_seconds_count", operation, "p"] == 1
    assert found["gpu_destroy_failures_total",] == (1 if verb == "destroy" else 0)


async def test_what_went_well_is_counted_as_that() -> None:
    meters = Meters(measures.ALL)
    driver = Metered(Noted(), "p", meters)
    for _ in range(3):
        await driver.list_own("install")
    found = samples(meters.text())
    assert found["gpu_provider_api_calls_total", "list", "p", "success"] == 3
    assert ("gpu_provider_api_errors_total", "list", "p") not in found
