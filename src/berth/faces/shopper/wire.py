"""Wire types that several sections share. Prices are exact numbers of dollars, times RFC 3339 text."""

from msgspec import UNSET, Struct, UnsetType


class Problem(Struct, kw_only=True):
    """Every refusal. Those with an `error_type` have more members, which that word names."""

    error: str
    request_id: str
    error_type: str | UnsetType = UNSET
    retry_suggested: bool | UnsetType = UNSET
    message: str | UnsetType = UNSET
