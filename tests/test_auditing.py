"""How the audit trail is asked for at the command line, and how it reads."""

import pytest

from berth import auditing
from berth.base.clock import parse_rfc3339, rfc3339

NOW = parse_rfc3339("2026-04-03T10:00:00Z")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("90s", "2026-04-03T09:58:30Z"),
        ("90m", "2026-04-03T08:30:00Z"),
        ("2h", "2026-04-03T08:00:00Z"),
        ("7d", "2026-03-27T10:00:00Z"),
    ],
)
def test_a_time_is_written_out_or_as_an_age(text: str, shown: str) -> None:
    at = auditing.parse_time(text, NOW)
    assert at is not None
    assert rfc3339(at) == shown
    assert auditing.parse_time(None, NOW) is None


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "-1h", "1.5h", "2026-04-01"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        auditing.parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "core"),
    [
        ("ak_01KN9CJ280DTX9KH6B8495ADKF", "01KN9CJ280DTX9KH6B8495ADKF"),
        ("dep_01KN9CJ280DTX9KH6B8495ADKF", "01KN9CJ280DTX9KH6B8495ADKF"),
        ("01KN9CJ280DTX9KH6B8495ADKF", "01KN9CJ280DTX9KH6B8495ADKF"),
        ("019d52c9-0900-6eba-99c4-cb411255366f", "01KN9CJ280DTX9KH6B8495ADKF"),
        ("cli:dep_user", "cli:dep_user"),
        ("loop:metering", "loop:metering"),
        (None, None),
    ],
)
def test_ids_are_taken_as_the_apis_show_them(text: str | None, core: str | None) -> None:
    assert auditing.core_id(text) == core
