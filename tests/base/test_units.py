"""Money, time and ids: whole numbers that lose nothing on the way in or out."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base import clock, ids, money
from berth.base.clock import Instant, SystemClock, parse_rfc3339, rfc3339, seconds_between

amounts = st.integers(-money.MAX_MICROS, money.MAX_MICROS)
_FIRST, _LAST = datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("9999-12-30")
instants = st.integers(0, 253_402_300_799_999_999).map(Instant)


@given(amounts)
def test_an_amount_is_the_same_after_a_round_trip(micros: int) -> None:
    assert money.from_usd(str(money.usd(micros))) == micros
    assert money.from_usd(money.show(micros).replace("$", "")) == micros


@given(amounts)
def test_cents_are_the_nearest_and_halves_go_away_from_zero(micros: int) -> None:
    assert abs(money.cents(micros) * 10_000 - micros) <= 5_000
    assert money.cents(-micros) == -money.cents(micros)


@pytest.mark.parametrize(
    ("micros", "cents", "shown", "usd"),
    [
        (49_715_000, 4972, "$49.715", "49.715"),
        (49_430_000, 4943, "$49.43", "49.43"),
        (49_273_250, 4927, "$49.27325", "49.27325"),
        (285_000, 29, "$0.285", "0.285"),
        (-5_000, -1, "-$0.005", "-0.005"),
        (20_000_000, 2000, "$20.00", "20"),
        (100_000_000_000, 10_000_000, "$100000.00", "100000"),
        (0, 0, "$0.00", "0"),
    ],
)
def test_amounts_are_shown_as_people_and_clients_expect(
    micros: int, cents: int, shown: str, usd: str
) -> None:
    assert (money.cents(micros), money.show(micros), str(money.usd(micros))) == (cents, shown, usd)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "1,5",
            "$5",
            "NaN",
            "sNaN",
            "Infinity",
            "-inf",
            "0.0000001",
            "1e-7",
            "1e400",
            "1e999999999",
        ),
        *("1e-999999999", "1000000000.000001", "-1000000000.000001", "1." + "0" * 40 + "1", "0x10"),
    ],
)
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        money.from_usd(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-10, max_value=10))
def test_no_amount_is_rounded_when_read(amount: Decimal) -> None:
    is_exact = amount * 10**6 == (amount * 10**6).to_integral_value()
    if is_exact:
        assert money.from_usd(str(amount)) == int(amount * 10**6)
    else:
        with pytest.raises(ValueError, match="amount"):
            money.from_usd(str(amount))


@given(instants)
def test_a_timestamp_is_the_same_after_a_round_trip_but_for_its_fraction(instant: Instant) -> None:
    assert parse_rfc3339(rfc3339(instant)) == instant - instant % clock.SECOND


@given(st.datetimes(min_value=_FIRST, max_value=_LAST))
def test_a_timestamp_is_read_with_its_zone_and_fraction(moment: datetime) -> None:
    here = moment.replace(tzinfo=UTC)
    expected = (here - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert parse_rfc3339(here.isoformat()) / clock.SECOND == pytest.approx(expected)
    shifted = moment.isoformat() + "+01:30"
    assert parse_rfc3339(shifted) == parse_rfc3339(here.isoformat()) - 90 * clock.MINUTE


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-04-03", "2026-04-03T10:00:00", "2026-04-03T10:00Z", "2026-13-03T10:00:00Z"),
        *("2026-04-03T25:00:00Z", "2026-04-03T10:00:60Z", "20260403T100000Z", "2026-04-03T10:00:00+99:00"),
        *("2026-04-03T10:00:00Z\n", "٢٠٢٦-04-03T10:00:00Z", "2026-04-03T10:00:00.1234567Z", "now"),
    ],
)
def test_what_is_no_timestamp_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


def test_the_timestamps_of_the_retail_api_have_seconds_precision() -> None:
    assert rfc3339(parse_rfc3339("2026-04-03T10:00:02.999999Z")) == "2026-04-03T10:00:02Z"
    assert rfc3339(Instant(0)) == "1970-01-01T00:00:00Z"


@given(instants, st.integers(-(10**15), 10**15))
def test_seconds_between_are_whole_and_never_negative(start: Instant, micros: int) -> None:
    seconds = seconds_between(start, Instant(start + micros))
    assert seconds == max(0, micros // clock.SECOND)
    assert clock.after(start, seconds=5) - start == 5 * clock.SECOND


def test_the_system_clock_never_runs_backwards() -> None:
    system = SystemClock()
    readings = [system.now() for _ in range(10_000)]
    assert readings == sorted(readings)
    assert readings[0] > parse_rfc3339("2024-01-01T00:00:00Z")


@given(instants)
def test_an_id_is_128_bits_and_sorts_by_time(instant: Instant) -> None:
    first, later = ids.new(instant), ids.new(Instant(instant + 1000))
    assert first < later
    assert ids.is_id(first)
    assert len(first) == 26


@given(st.integers(0, 2**128 - 1))
def test_an_id_is_written_as_a_uuid_and_read_back(value: int) -> None:
    written = str(uuid.UUID(int=value))
    core_id = ids.of_uuid(written)
    assert core_id is not None
    assert ids.is_id(core_id)
    assert ids.to_uuid(core_id) == written
    assert ids.of_uuid(written.upper()) == core_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 36,
        "0" * 32,
        "00000000-0000-0000-0000-00000000000",
        "00000000-0000-0000-0000-0000000000000",
        "{00000000-0000-0000-0000-000000000000}",
        " 00000000-0000-0000-0000-000000000000",
        "00000000-0000-0000-0000-000000000000\n",
        "00000000_0000_0000_0000_000000000000",
        "０0000000-0000-0000-0000-000000000000",
        "0000000-00000-0000-0000-000000000000",
    ],
)
def test_what_is_no_uuid_is_no_id(text: str) -> None:
    assert ids.of_uuid(text) is None


def test_a_time_can_be_shown_to_the_millisecond() -> None:
    at = parse_rfc3339("2023-07-15T14:10:26.654999Z")
    assert clock.rfc3339_millis(at) == "2023-07-15T14:10:26.654Z"
    assert clock.rfc3339_millis(parse_rfc3339("2023-07-15T14:10:26Z")) == "2023-07-15T14:10:26.000Z"


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new(Instant(0)) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 25, "0" * 27, "0" * 25 + "U", "0" * 25 + "a", "8" + "0" * 25, "Z" * 26, "０" * 26]
)
def test_what_could_not_be_an_id_is_recognised(text: str) -> None:
    assert not ids.is_id(text)


@given(st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26))
def test_what_looks_like_an_id_fits_128_bits(text: str) -> None:
    value = 0
    for character in text:
        value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    assert ids.is_id(text) == (value < 2**128)
    if ids.is_id(text):
        assert uuid.UUID(int=value).int == value
