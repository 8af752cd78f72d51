"""Wire types that several sections of the retail API share. Amounts are exact decimals, times RFC 3339 text."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

# `$` alone lets a line end pass behind it.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:+-]{1,128}$(?!\n)")]
"""A reference to something that has a name or an id."""

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]
"""A reference to something by its id."""

Limit = Annotated[int, Meta(ge=1, le=100)]

Status = Literal[
    "ordered", "provisioning", "running", "offline", "error", "failed_no_capacity", "deleting", "deleted"
]


class Problem(Struct, kw_only=True):
    """Every refusal."""

    code: str
    error: str
    reason: str
    details: dict[str, Any] | UnsetType = UNSET
    request_id: str


class PageMeta(Struct, kw_only=True):
    """Where a page stands. `next_cursor`, `page` and `limit` are there under the nested mount."""

    total: int
    cursor: str | None
    has_more: bool
    next_cursor: str | UnsetType | None = UNSET
    page: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
