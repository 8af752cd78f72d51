"""Successes on the wire: plain JSON, a bare id as the whole body, or nothing."""

from dataclasses import dataclass

import msgspec

TEXT = b"text/plain; charset=utf-8"
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Bare:
    """The whole body, without quotes and line break: clients put it into the next path as it is."""

    text: str


def render(result: object) -> bytes:
    match result:
        case None:
            return b""
        case Bare(text):
            return text.encode()
        case _:
            return _encoder.encode(result)
