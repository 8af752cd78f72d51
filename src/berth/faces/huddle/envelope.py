"""Successes on the wire: flat by default, or with the paged lists nested as the vendor's own client reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from berth.faces.huddle import wire

_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Paged:
    """A page of a list. `number` is there where pages are numbered."""

    rows: Sequence[Any]
    total: int
    cursor: str | None
    has_more: bool
    limit: int
    number: int = 1


def flat(result: object) -> bytes:
    """`{code, data}`, and for a page `{code, data, meta}`."""
    if isinstance(result, Paged):
        meta = wire.PageMeta(total=result.total, cursor=result.cursor, has_more=result.has_more)
        return b'{"code":"OK","data":%b,"meta":%b}' % (_encoder.encode(result.rows), _encoder.encode(meta))
    return b'{"code":"OK","data":%b}' % _encoder.encode(result)


def nested(result: object) -> bytes:
    """As `flat`, but a page is `{code, data: {data, meta}}`, and an offer's regions are objects."""
    if not isinstance(result, Paged):
        return flat(result)
    meta = wire.PageMeta(
        total=result.total,
        cursor=result.cursor,
        has_more=result.has_more,
        next_cursor=result.cursor,
        page=result.number,
        limit=result.limit,
    )
    rows = [_with_whole_regions(row) for row in result.rows]
    return b'{"code":"OK","data":{"data":%b,"meta":%b}}' % (_encoder.encode(rows), _encoder.encode(meta))


def _with_whole_regions(row: object) -> object:
    if not isinstance(row, wire.Offer):
        return row
    return msgspec.structs.replace(
        row, regions=[region for region in row.region_details if region.is_available]
    )
