"""Successes on the wire: plain JSON, amounts as exact numbers."""

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number")


def render(result: object) -> bytes:
    return _encoder.encode(result)
