"""Projects: whose money and instances they are, and the credentials that may act for them."""

from berth.core.projects.model import SCOPES, ApiKey, Credentials, OAuthClient, Project
from berth.core.projects.service import (
    actor_of,
    authenticate,
    create,
    create_key,
    find,
    get_key,
    installation_id,
    list_keys,
    list_projects,
    lock,
    revoke_key,
    touch_key,
)

__all__ = [
    "SCOPES",
    "ApiKey",
    "Credentials",
    "OAuthClient",
    "Project",
    "actor_of",
    "authenticate",
    "create",
    "create_key",
    "find",
    "get_key",
    "installation_id",
    "list_keys",
    "list_projects",
    "lock",
    "revoke_key",
    "touch_key",
]
