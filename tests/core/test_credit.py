"""An account on its way down and back, judged without a database: states, thresholds, warnings."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import HOUR, SECOND, Instant
from berth.base.money import USD, Micros
from berth.core.billing import EMPTY, WARNING_LEADS, Alerts, Credit, Rules, State
from berth.core.billing.credit import Means, Notice, assess, is_warning_due, with_whole_lead

NOW = Instant(1_775_210_400 * SECOND)
RULES = Rules()
NO_ALERTS = Alerts((), ())
DEFAULT = Alerts()


def means(dollars: float, burn: float = 0) -> Means:
    return Means(Micros(round(dollars * USD)), round(burn * USD))


def told(notices: object) -> list[str]:
    assert isinstance(notices, list)
    return [notice.type.removeprefix("billing.") for notice in notices]


def low(credit: Credit, at: Means, alerts: Alerts = DEFAULT) -> tuple[Credit, list[Notice]]:
    changed, notices = assess(credit, at, alerts, RULES, NOW)
    return changed, [notice for notice in notices if notice.type == "billing.low_balance"]


@pytest.mark.parametrize(
    ("credit", "dollars", "after_s", "state", "said"),
    [
        (Credit(), 100, 0, State.ACTIVE, []),
        (Credit(), 0.000001, 0, State.ACTIVE, []),
        (Credit(), 0, 0, State.DEPLETED, ["depleted"]),
        (Credit(), -5, 0, State.DEPLETED, ["depleted"]),
        (Credit(State.LOW), 0, 0, State.DEPLETED, ["depleted"]),
        (Credit(State.LOW), 5, 0, State.ACTIVE, []),
        (Credit(State.DEPLETED, NOW, NOW, Instant(NOW + 600 * SECOND)), -1, 599, State.DEPLETED, []),
        (
            Credit(State.DEPLETED, NOW, NOW, Instant(NOW + 600 * SECOND)),
            -1,
            600,
            State.SUSPENDED,
            ["suspended"],
        ),
        (
            Credit(State.DEPLETED, NOW, NOW, Instant(NOW + 600 * SECOND)),
            0,
            6000,
            State.SUSPENDED,
            ["suspended"],
        ),
        (Credit(State.DEPLETED, NOW, NOW, Instant(NOW + 600 * SECOND)), 1, 6000, State.ACTIVE, ["restored"]),
        (Credit(State.SUSPENDED, NOW, purges_at=Instant(NOW + HOUR)), 1, 0, State.ACTIVE, ["restored"]),
        (Credit(State.SUSPENDED, NOW, purges_at=NOW), -1, 0, State.SUSPENDED, []),
        (Credit(State.SUSPENDED, NOW, purges_at=NOW, warnings=2), -1, 0, State.SUSPENDED, []),
        (Credit(State.SUSPENDED, NOW, purges_at=NOW, warnings=3), -1, 0, State.PURGING, []),
        (Credit(State.SUSPENDED, NOW, purges_at=Instant(NOW + 1), warnings=3), -1, 0, State.SUSPENDED, []),
        (Credit(State.PURGING, NOW, warnings=3), -1, 10**6, State.PURGING, []),
        (Credit(State.PURGING, NOW, warnings=3), 1, 0, State.ACTIVE, ["restored"]),
    ],
)
def test_a_state_follows_from_what_is_there_and_for_how_long(
    credit: Credit, dollars: float, after_s: int, state: State, said: list[str]
) -> None:
    now = Instant(NOW + after_s * SECOND)
    changed, notices = assess(credit, means(dollars), NO_ALERTS, RULES, now)
    assert (changed.state, told(notices)) == (state, said)
    assert changed.since_at == (credit.since_at if changed.state is credit.state else now)


def test_a_clock_that_steps_back_stops_nothing_early() -> None:
    credit, _ = assess(Credit(), means(-1), NO_ALERTS, RULES, NOW)
    earlier = Instant(NOW - HOUR)
    assert assess(credit, means(-1), NO_ALERTS, RULES, earlier)[0] == credit


@pytest.mark.parametrize(
    ("before", "resumes"), [(State.DEPLETED, False), (State.SUSPENDED, True), (State.PURGING, True)]
)
@pytest.mark.parametrize("auto_resume", [False, True])
def test_only_what_was_stopped_is_resumed_and_only_if_asked_for(
    before: State, auto_resume: bool, resumes: bool
) -> None:
    changed, _ = assess(Credit(before, NOW), means(1), NO_ALERTS, RULES, NOW, auto_resume=auto_resume)
    assert changed.is_resuming == (auto_resume and resumes)


def test_running_out_again_does_not_forget_what_is_still_to_be_resumed() -> None:
    credit = Credit(State.ACTIVE, NOW, is_resuming=True)
    for dollars in (-1, 1):
        credit, _ = assess(credit, means(dollars), NO_ALERTS, RULES, NOW)
        assert credit.is_resuming


def test_a_threshold_is_announced_once_and_armed_again_a_fifth_above_it() -> None:
    credit, said = low(Credit(), means(19.99))
    assert (credit.state, len(said)) == (State.LOW, 1)
    assert said[0].data["threshold_balance_micros"] == 20 * USD
    for dollars in (15, 20, 23.999999, 19):
        credit, said = low(credit, means(dollars))
        assert (credit.state, said) == (State.LOW, [])
    credit, said = low(credit, means(24))
    assert (credit.state, said) == (State.ACTIVE, [])
    credit, said = low(credit, means(19))
    assert (credit.state, len(said)) == (State.LOW, 1)


def test_a_runway_shrinks_with_what_is_left_and_with_what_burns() -> None:
    alerts = Alerts((), (3600, 900))
    credit, said = low(Credit(), means(10, burn=10), alerts)
    assert said == []
    credit, said = low(credit, means(10, burn=11), alerts)
    assert [notice.data["threshold_runway_s"] for notice in said] == [3600]
    credit, said = low(credit, means(2.49, burn=10), alerts)
    assert [notice.data["threshold_runway_s"] for notice in said] == [900]
    credit, said = low(credit, means(2.49, burn=0), alerts)
    assert (credit.state, said) == (State.ACTIVE, [])


def test_who_wants_no_alerts_gets_none_and_is_low_all_the_same() -> None:
    credit, notices = assess(Credit(), means(1), Alerts(is_enabled=False), RULES, NOW)
    assert (credit.state, notices) == (State.LOW, [])
    assert assess(credit, means(-1), Alerts(is_enabled=False), RULES, NOW)[1] != []


def test_a_threshold_that_is_no_more_is_forgotten() -> None:
    credit, _ = low(Credit(), means(19))
    assert low(credit, means(19), Alerts((Micros(10 * USD),), ()))[0].crossed == frozenset()


def test_each_warning_comes_with_its_whole_lead_also_when_it_comes_late() -> None:
    credit = Credit(State.SUSPENDED, NOW, purges_at=Instant(NOW + 72 * HOUR))
    assert not is_warning_due(credit, Instant(NOW + 24 * HOUR - 1))
    now = Instant(NOW + 100 * HOUR)
    given_at = []
    while is_warning_due(credit, now) or credit.warnings < len(WARNING_LEADS):
        if is_warning_due(credit, now):
            credit = with_whole_lead(credit, now)
            assert credit.purges_at is not None
            assert credit.purges_at - now >= WARNING_LEADS[credit.warnings]
            credit = replace(credit, warnings=credit.warnings + 1)
            given_at.append(now)
        assert assess(credit, means(-1), NO_ALERTS, RULES, now)[0].state is State.SUSPENDED
        now = Instant(now + HOUR // 2)
    assert [later - earlier for earlier, later in pairwise(given_at)] == [24 * HOUR, 23 * HOUR]
    assert assess(credit, means(-1), NO_ALERTS, RULES, credit.purges_at or now)[0].state is State.PURGING


amounts = st.one_of(st.integers(-50, 50), st.sampled_from([-1, 0, 1, 20 * USD, 24 * USD])).map(Micros)
moments = st.lists(
    st.tuples(st.integers(-(10**9), 400 * HOUR), st.integers(-30 * USD, 60 * USD), st.integers(0, 20 * USD)),
    max_size=30,
)


@given(moments=moments, grace_s=st.sampled_from([0, 600, 86_400]), auto_resume=st.booleans())
def test_whatever_comes_in_whatever_order_the_rules_hold(
    moments: list[tuple[int, int, int]], grace_s: int, auto_resume: bool
) -> None:
    rules, credit, now = replace(RULES, grace_s=grace_s), Credit(), NOW
    order = list(State)
    for wait, effective, burn in moments:
        now = Instant(now + wait)
        at = Means(Micros(effective), burn)
        changed, notices = assess(credit, at, Alerts(), rules, now, auto_resume=auto_resume)
        if effective > 0:
            assert changed.state not in EMPTY
            assert (changed.state is State.LOW) == bool(changed.crossed)
        elif credit.state in EMPTY:
            assert order.index(changed.state) - order.index(credit.state) in {0, 1}
        else:
            assert changed.state is State.DEPLETED
            assert changed.stops_at == now + grace_s * SECOND
        said = told(notices)
        assert said.count("low_balance") == len(changed.crossed - credit.crossed)
        assert ("restored" in said) == (credit.state in EMPTY and changed.state not in EMPTY)
        assert ("depleted" in said) == (changed.state is State.DEPLETED is not credit.state)
        assert ("suspended" in said) == (changed.state is State.SUSPENDED is not credit.state)
        if effective <= 0 and credit.state is State.DEPLETED and changed.state is State.SUSPENDED:
            assert credit.stops_at is not None
            assert now >= credit.stops_at
        for _ in order:
            credit = changed
            changed, notices = assess(credit, at, Alerts(), rules, now, auto_resume=auto_resume)
            if changed == credit:
                assert notices == []
        assert changed == credit, "it comes to rest"
