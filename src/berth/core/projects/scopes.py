"""What a key can be allowed, in single scopes and in presets that stand for several."""

from collections.abc import Iterable

FAMILIES = ("catalog", "deployments", "waitlist", "volumes", "ssh_keys", "webhooks", "billing", "api_keys")
SCOPES = frozenset(
    {"*", "admin", "catalog:read"}
    | {f"{family}:{right}" for family in FAMILIES[1:] for right in ("read", "write")}
)
"""Everything a key can be allowed."""
PRESETS = {
    "read_only": frozenset(scope for scope in SCOPES if scope.endswith(":read")),
    "full": frozenset({"*"}),
}


def expand(names: Iterable[str]) -> frozenset[str]:
    """The scopes that `names`, presets among them, stand for; unknown names stay as they are."""
    return frozenset().union(*(PRESETS.get(name, {name}) for name in names))


def may_make_keys(scopes: frozenset[str]) -> bool:
    return bool(scopes & {"*", "api_keys:write"})
