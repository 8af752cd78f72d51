"""An account's settings: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.huddle.account import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/account/settings",
        handler=handlers.get_account_settings,
        summary="What the account decided about itself",
        scope="api_keys:read",
        answer=wire.AccountSettings,
    ),
    Route(
        method="PUT",
        path="/account/settings",
        handler=handlers.set_account_settings,
        summary="Decide whether a second active deployment may have the hostname of another",
        scope="api_keys:write",
        body=wire.AccountSettingsChange,
        answer=wire.AccountSettings,
        rate=Rate.WRITE,
    ),
)
