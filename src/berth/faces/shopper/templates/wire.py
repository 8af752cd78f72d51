"""Templates on the wire."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=255)]


class TemplatesQuery(Struct, kw_only=True):
    name: Text | None = None
    """A part of it, in whatever capitals."""
    image: Text | None = None
    """A part of it, in whatever capitals."""
    recommended: bool | None = None
    use_ssh: bool | None = None


class Template(Struct, kw_only=True):
    id: int
    hash_id: str
    name: str
    image: str
    tag: str
    env: str
    onstart: str
    runtype: str
    args_str: str | UnsetType = UNSET
    use_ssh: bool
    ssh_direct: bool
    recommended: bool
    recommended_disk_space: int
    """GB."""
    extra_filters: str
    """JSON: which hosts it runs on."""
    creator_id: int
    created_at: str
    count_created: int


class Templates(Struct, kw_only=True):
    templates: list[Template]
    count: int
