"""Cursors come back as they went out, and only to the list they were minted for."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.paging import After, MalformedCursor, decode, encode

LISTING = "deployments?status=running"


@given(
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
)
def test_a_cursor_comes_back_as_it_went_out(time: int, row_id: str) -> None:
    assert decode(encode(After(time, row_id), LISTING), LISTING) == After(time, row_id)


def test_a_cursor_may_come_back_without_its_padding() -> None:
    cursor = encode(After(5, "01KN9CJ2801KPB3BD7PFREZK5Y"), LISTING)
    assert decode(cursor.rstrip("="), LISTING) == decode(cursor, LISTING)


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = encode(After(5, "a"), LISTING)
    with pytest.raises(MalformedCursor):
        decode(cursor, "deployments")


@given(st.text(max_size=80))
def test_text_that_nobody_minted_is_refused(text: str) -> None:
    with pytest.raises(MalformedCursor):
        decode(text, LISTING)


def mark() -> object:
    return json.loads(base64.urlsafe_b64decode(encode(After(1, "a"), LISTING)))["f"]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "a"},
        {"id": "a", "t": None},
        {"id": "a", "t": 1.5},
        {"id": "a", "t": True},
        {"id": "a", "t": "1"},
        {"id": "a", "t": 2**63},
        {"id": "a", "t": -(2**63)},
        {"id": "a\0", "t": 1},
        {"id": 1, "t": 1},
        {"id": None, "t": 1},
        {"t": 1},
    ],
)
def test_a_cursor_that_names_no_row_is_refused(fields: dict[str, object]) -> None:
    text = json.dumps({**fields, "f": mark()})
    with pytest.raises(MalformedCursor):
        decode(base64.urlsafe_b64encode(text.encode()).decode(), LISTING)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"a"', "{", "[" * 300, '{"f":1}', "1e999"])
def test_json_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(MalformedCursor):
        decode(base64.urlsafe_b64encode(text.encode()).decode(), LISTING)


def test_a_cursor_longer_than_any_is_refused() -> None:
    with pytest.raises(MalformedCursor):
        decode("A" * 100_000, LISTING)
