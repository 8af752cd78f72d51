"""An account's settings on the wire, member for member."""

from msgspec import UNSET, Struct, UnsetType


class AccountSettings(Struct, kw_only=True):
    unique_active_hostname: bool


class AccountSettingsChange(Struct, kw_only=True):
    """What is left out stays as it is."""

    unique_active_hostname: bool | UnsetType = UNSET
