"""Tokens on the wire, member for member."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Text = Annotated[str, Meta(max_length=4096)]


class TokenRequest(Struct, kw_only=True):
    """With `client_id` and `client_secret`, or with `refresh_token`, as `grant_type` says."""

    grant_type: _Text | None = None
    client_id: _Text | None = None
    client_secret: _Text | None = None
    refresh_token: _Text | None = None
    scope: Annotated[str, Meta(max_length=255)] | None = None
    """`cloud-api-v1` unless said otherwise; a token of another scope opens nothing of this API."""


class Token(Struct, kw_only=True):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token, not one
    expires_in: int
    """Seconds."""
    refresh_token: str
    scope: str
