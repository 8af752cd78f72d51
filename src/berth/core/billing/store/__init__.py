"""Statements of billing, by table."""

from berth.core.billing.store.segments import (
    CHARGES_DUE,
    TICK,
    accrued,
    end_segment,
    first_start,
    insert_segment,
    last_segment,
    lock_swept_at,
    price,
    read_swept_at,
    segments_of,
    set_swept_at,
)

__all__ = [
    "CHARGES_DUE",
    "TICK",
    "accrued",
    "end_segment",
    "first_start",
    "insert_segment",
    "last_segment",
    "lock_swept_at",
    "price",
    "read_swept_at",
    "segments_of",
    "set_swept_at",
]
