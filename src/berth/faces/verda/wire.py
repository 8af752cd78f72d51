"""Wire types that several sections of this API share. Unknown members are ignored, and null is as good as absent."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(max_length=64)]
Ids = Id | Annotated[list[Id], Meta(max_length=100)]
"""One or several."""
Size = int | float | Annotated[str, Meta(pattern="^[0-9]{1,9}$")]
"""Of storage, in GB; digits will do."""
Currency = Literal["usd", "eur"]
Code = Literal[
    "invalid_request",
    "unauthorized_request",
    "insufficient_funds",
    "forbidden_action",
    "not_found",
    "conflict",
    "rate_limit_exceeded",
    "server_error",
    "service_unavailable",
]
Status = Literal[
    "running",
    "provisioning",
    "offline",
    "discontinued",
    "unknown",
    "ordered",
    "notfound",
    "new",
    "error",
    "deleting",
    "validating",
    "no_capacity",
    "installation_failed",
]
"""Of instances and clusters."""


class Problem(Struct, kw_only=True):
    """Every refusal."""

    code: Code
    message: str


class Cpu(Struct, kw_only=True):
    description: str
    number_of_cores: int


class Gpu(Struct, kw_only=True):
    description: str
    number_of_gpus: int


class Memory(Struct, kw_only=True):
    description: str
    size_in_gigabytes: int


class Storage(Struct, kw_only=True):
    description: str


class NewTag(Struct, kw_only=True):
    key: Annotated[str, Meta(max_length=255)]
    value: Annotated[str, Meta(max_length=255)] | None = None


NewTags = Annotated[list[NewTag], Meta(max_length=100)]


class Tag(Struct, kw_only=True):
    id: str
    key: str
    """In lower case."""
    value: str
