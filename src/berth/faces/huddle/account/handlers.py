"""An account's settings: translate, one verb, translate."""

from msgspec import UNSET

from berth.base.db import Tx
from berth.core import projects
from berth.core.projects import Preferences
from berth.faces.face import Call
from berth.faces.huddle.account import wire


def get_account_settings(tx: Tx, call: Call) -> wire.AccountSettings:
    return _settings(projects.preferences(tx, call.by.project))


def set_account_settings(tx: Tx, call: Call) -> wire.AccountSettings:
    request: wire.AccountSettingsChange = call.body
    wanted = request.unique_active_hostname
    return _settings(
        projects.set_preferences(tx, call.by, unique_active_hostname=None if wanted is UNSET else wanted)
    )


def _settings(found: Preferences) -> wire.AccountSettings:
    return wire.AccountSettings(unique_active_hostname=found.unique_active_hostname)
