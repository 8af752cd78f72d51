"""What receivers of webhooks are told, in the words of the retail API: one flat object, Huddle's own members first."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from berth.base import money
from berth.base.clock import Instant, rfc3339
from berth.base.money import Micros
from berth.core.webhooks import Told
from berth.faces.huddle.words import API_KEY, DEPLOYMENT, EVENT, VOLUME, WAITLIST, WEBHOOK, event_word

_VERSION = "v1"
_MICROS, _MICROS_PER_HOUR, _AT = "_micros", "_micros_per_hour", "_at"
_INSTANCE_MEMBERS = (
    "provider_id",
    "status",
    "instance_type",
    "hostname",
    "image",
    "location",
    "ip",
    "ssh_user",
    "previous_status",
    "status_reason",
)
"""Always there for a deployment, null where there is nothing to say."""
_IDS = {
    "instance_id": ("deployment_id", DEPLOYMENT),
    "volume_id": ("volume_id", VOLUME),
    "waitlist_id": ("waitlist_request_id", WAITLIST),
    "api_key_id": ("api_key_id", API_KEY),
    "webhook_id": ("webhook_id", WEBHOOK),
}
_SUBJECTS = {
    "instance": "instance_id",
    "volume": "volume_id",
    "waitlist": "waitlist_id",
    "api_key": "api_key_id",
    "webhook": "webhook_id",
}
"""What the id of an event's subject is called, by the family of the event."""
_WORDS = {"instance_type": "cluster_type"}
_encoder = msgspec.json.Encoder(decimal_format="number")


def render(told: Told) -> str:
    """The body of a delivery, as JSON."""
    event, name = told.event, event_word(told.event_type)
    family = told.event_type.partition(".")[0]
    body: dict[str, object] = {"event": name}
    data = dict(event.data)
    subject = _SUBJECTS.get(family)
    if subject is not None and (family == "webhook" or not told.is_test):
        data = {subject: event.subject, **data}
    if family == "instance":
        known = {"instance_id": data.get("instance_id"), **dict.fromkeys(_INSTANCE_MEMBERS)}
        data = known | {"status_reason" if member == "reason" else member: data[member] for member in data}
    for member, value in data.items():
        body.update(_members(member, value))
    body |= {
        "event": name,
        "id": EVENT + event.id,
        "type": name,
        "timestamp": rfc3339(event.created_at),
        "sequence": event.sequence,
        "api_version": _VERSION,
    }
    if told.is_test:
        body["test"] = True
    return _encoder.encode(body).decode()


def _members(member: str, value: object) -> Mapping[str, object]:
    """One member of an event's data as the retail API writes it."""
    match value:
        case str() if member in _IDS:
            name, prefix = _IDS[member]
            return {name: prefix + value}
        case bool():
            return {_WORDS.get(member, member): value}
        case int() if member.endswith(_AT):
            return {member: rfc3339(Instant(value))}
        case int() if member.endswith(_MICROS_PER_HOUR):
            return {f"{member.removesuffix(_MICROS_PER_HOUR)}_per_hr": _usd(value)}
        case int() if member.endswith(_MICROS):
            return {member: value, f"{member.removesuffix(_MICROS)}_usd": _usd(value)}
        case _:
            return {_IDS[member][0] if member in _IDS else _WORDS.get(member, member): value}


def _usd(micros: int) -> Decimal:
    return money.usd(Micros(micros))
