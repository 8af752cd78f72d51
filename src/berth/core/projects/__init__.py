"""Projects: whose money and instances they are, and the credentials that may act for them."""

from berth.core.projects.api_keys import (
    KEYS_PER_PROJECT,
    actor_of,
    authenticate,
    check_address,
    create_key,
    forget_ended,
    get_key,
    list_keys,
    revoke_key,
    rotate_key,
    touch_key,
    update_key,
)
from berth.core.projects.clients import (
    CLIENTS_PER_PROJECT,
    actor_of_client,
    authenticate_client,
    create_client,
    find_client,
    list_clients,
    revoke_client,
)
from berth.core.projects.counting import count_requests, forget_requests
from berth.core.projects.model import ApiKey, Credentials, KeySpec, OAuthClient, Preferences, Project
from berth.core.projects.networks import parse_address
from berth.core.projects.preferences import preferences, set_preferences
from berth.core.projects.scopes import SCOPES
from berth.core.projects.service import create, find, installation_id, is_pepper, list_projects, lock

__all__ = [
    "CLIENTS_PER_PROJECT",
    "KEYS_PER_PROJECT",
    "SCOPES",
    "ApiKey",
    "Credentials",
    "KeySpec",
    "OAuthClient",
    "Preferences",
    "Project",
    "actor_of",
    "actor_of_client",
    "authenticate",
    "authenticate_client",
    "check_address",
    "count_requests",
    "create",
    "create_client",
    "create_key",
    "find",
    "find_client",
    "forget_ended",
    "forget_requests",
    "get_key",
    "installation_id",
    "is_pepper",
    "list_clients",
    "list_keys",
    "list_projects",
    "lock",
    "parse_address",
    "preferences",
    "revoke_client",
    "revoke_key",
    "rotate_key",
    "set_preferences",
    "touch_key",
    "update_key",
]
