"""Made-up events for test deliveries, plain enough that nobody takes them for real ones."""

from collections.abc import Mapping

from berth.base.clock import HOUR, Instant

_NOBODY = "00000000000000000000000000"
_INSTANCE: Mapping[str, object] = {
    "instance_id": _NOBODY,
    "provider_id": "test-0",
    "instance_type": "1H100.80S.30V",
    "hostname": "test",
    "image": "ubuntu-24.04",
    "location": "FIN-01",
    "ssh_user": "ubuntu",
}
_BALANCE = {"balance_micros": 12_340_000}


def of(event_type: str, now: Instant) -> Mapping[str, object]:
    """What an event of this type could hold."""
    family, _, what = event_type.partition(".")
    later = now + HOUR
    match family:
        case "instance":
            return {**_INSTANCE, **_instance(what, later)}
        case "gpu":
            return {
                "instance_type": "1H100.80S.30V",
                "location": "FIN-01",
                "is_available": True,
                "free_units": 1,
                "price_micros_per_hour": 1_710_000,
                "waitlist_id": _NOBODY,
                "claim_expires_at": later,
            }
        case "waitlist":
            return {"waitlist_id": _NOBODY, "instance_type": "1H100.80S.30V", "location": "FIN-01"}
        case "volume":
            return {"volume_id": _NOBODY, "name": "test", "size_gb": 100, "location": "FIN-01"}
        case "billing":
            return _BALANCE
        case "api_key":
            return {"api_key_id": _NOBODY, "name": "test"}
        case _:
            return {}


def _instance(what: str, later: int) -> Mapping[str, object]:
    match what:
        case "running" | "recovered" | "moved":
            return {"status": "running", "previous_status": "provisioning", "ip": "192.0.2.10"}
        case "stop_scheduled":
            return {"status": "running", "stops_at": later}
        case "interruption_notice":
            return {"status": "running", "evicts_at": later}
        case "unreachable" | "idle":
            return {"status": "running"}
        case "resume_failed":
            return {"status": "offline", "reason": "no_capacity"}
        case "error" | "failed_no_capacity":
            return {"status": what, "previous_status": "provisioning", "reason": what}
        case _:
            return {"status": what}
