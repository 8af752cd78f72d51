"""SSH keys and startup scripts on the wire, member for member."""

from typing import Annotated

from msgspec import Meta, Struct

_Id = Annotated[str, Meta(max_length=64)]
Many = _Id | Annotated[list[_Id], Meta(max_length=1000)]
"""One or several ids."""


class SshKey(Struct, kw_only=True):
    id: str
    name: str
    key: str
    """As it was sent, to the last line break."""
    fingerprint: str
    created_at: str


class SshKeyRequest(Struct, kw_only=True):
    name: str
    key: str


class SshKeysRequest(Struct, kw_only=True):
    keys: Many


class Script(Struct, kw_only=True):
    id: str
    name: str
    script: str
    """As it was sent, to the last line break."""


class ScriptRequest(Struct, kw_only=True):
    name: str
    script: str


class ScriptsRequest(Struct, kw_only=True):
    scripts: Many


class ScriptsQuery(Struct, kw_only=True):
    """Without either, all there are."""

    page: Annotated[int, Meta(ge=1, le=1000)] | None = None
    pageSize: Annotated[int, Meta(ge=1, le=100)] | None = None  # noqa: N815 - as it is sent
