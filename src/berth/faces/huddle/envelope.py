"""Successes on the wire: flat by default, or with the paged lists nested as the vendor's own client reads them."""

from collections.abc import Callable, Sequence
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
    more: msgspec.Struct | None = None
    """Members that `meta` has beside those of every page."""
    is_nestable: bool = False
    """Whether the nested mount nests it; only the lists that the vendor's own client reads are."""
    nest: Callable[[Any], object] | None = None
    """Makes of a row what the nested mount shows, where that differs."""


def flat(result: object) -> bytes:
    """`{code, data}`, and for a page `{code, data, meta}`."""
    if isinstance(result, Paged):
        meta = wire.PageMeta(total=result.total, cursor=result.cursor, has_more=result.has_more)
        return b'{"code":"OK","data":%b,"meta":%b}' % (_encoder.encode(result.rows), _meta(meta, result.more))
    return b'{"code":"OK","data":%b}' % _encoder.encode(result)


def nested(result: object) -> bytes:
    """As `flat`, but a page is `{code, data: {data, meta}}`."""
    if not isinstance(result, Paged) or not result.is_nestable:
        return flat(result)
    meta = wire.PageMeta(
        total=result.total,
        cursor=result.cursor,
        has_more=result.has_more,
        next_cursor=result.cursor,
        page=result.number,
        limit=result.limit,
    )
    rows = result.rows if result.nest is None else [result.nest(row) for row in result.rows]
    return b'{"code":"OK","data":{"data":%b,"meta":%b}}' % (_encoder.encode(rows), _meta(meta, result.more))


def _meta(meta: wire.PageMeta, more: msgspec.Struct | None) -> bytes:
    written = _encoder.encode(meta)
    return written if more is None else written[:-1] + b"," + _encoder.encode(more)[1:]
