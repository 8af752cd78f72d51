"""What waiting people are told by e-mail."""

from berth.base import money
from berth.base.clock import rfc3339
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import notices
from berth.core.waitlist.model import Entry


def available(tx: Tx, entry: Entry, price: Micros | None) -> None:
    """Something is free that the entry waits for."""
    cost = "" if price is None else f" at {money.show(price)} per hour"
    kept = "Nothing is kept for you: whoever deploys first has it."
    if entry.claim_expires_at is not None:
        kept = f"One is kept for you until {rfc3339(entry.claim_expires_at)}: deploy it in {entry.granted_location}."
    notices.send(
        tx,
        entry.project,
        "gpu.available",
        f"{entry.instance_type} is available in {entry.granted_location}",
        f"{entry.instance_type} is available in {entry.granted_location}{cost}.\n{kept}",
    )


def expires_soon(tx: Tx, entry: Entry) -> None:
    """The entry ends in two days unless its owner extends it."""
    where = entry.location or "any location"
    notices.send(
        tx,
        entry.project,
        "waitlist.expiring",
        f"You will soon stop waiting for {entry.instance_type}",
        f"Your place in line for {entry.instance_type} in {where} ends at {rfc3339(entry.expires_at)}."
        " Extend it to keep it.",
    )
