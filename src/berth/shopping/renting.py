"""Takes an offer and waits until it can be worked on: the key is kept first, and what costs money is always named."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from berth.shopping.calls import Api, Failed, Interrupted, Json, Unanswered, plain
from berth.shopping.keys import Keys, Reserved
from berth.shopping.tables import gpus, objects, per_hour
from berth.shopping.watching import watch

TAKE_S = 300.0
"""For the request that takes an offer: the server waits for its provider."""
OFFERS_TRIED = 5
_COMING = {"pending", "provisioning"}


@dataclass(slots=True)
class Renting:
    """One attempt to rent, and how far it has come."""

    api: Api
    keys: Keys
    console: Console
    wait_s: float
    poll_s: float
    session: Json = field(default_factory=dict)
    key_path: Path | None = None
    is_asked: bool = False
    """Something may exist that costs money."""
    has_shown: bool = False

    def run(self, offers: Sequence[Json], wanted: Mapping[str, Any]) -> Json:
        """The session once it runs. Raises Failed, with what there is to do about it."""
        try:
            with self.keys.reserve() as place:
                self._take(offers, wanted, place)
            return self._await()
        except KeyboardInterrupt:
            raise Interrupted(self._left_behind()) from None

    def _take(self, offers: Sequence[Json], wanted: Mapping[str, Any], place: Reserved) -> None:
        for number, offer in enumerate(offers, 1):
            if "price_per_hour" in offer:  # chosen for them, so they are told
                self._say(f"Taking {offer['id']}: {gpus(offer)} at {per_hour(offer)}")
            try:
                answer = self._ask({**wanted, "offer_id": offer["id"]})
            except Failed as error:
                if not error.is_sold_out or number == len(offers):
                    raise
                self._say(f"{offer['id']} is gone meanwhile; trying the next")
                continue
            self._keep(answer, place)
            return

    def _ask(self, body: Mapping[str, Any]) -> Json:
        """Asked a second time where the answer got lost: under one key it is still one session."""
        once = f"rent-{uuid.uuid4()}"
        self.is_asked = True
        try:
            answer = self.api.post("sessions", body=body, once=once, timeout_s=TAKE_S)
        except Unanswered:
            try:
                answer = self.api.post("sessions", body=body, once=once, timeout_s=TAKE_S)
            except Failed as error:
                raise Failed(f"{error}. {_LOOK}", error.body) from error
        except Failed:
            self.is_asked = False
            raise
        return answer

    def _keep(self, answer: Json, place: Reserved) -> None:
        session, key = answer.get("session"), answer.get("ssh_private_key")
        if not isinstance(session, dict) or not session.get("id"):
            raise Failed(f"the server took the offer and named no session. {_LOOK}")
        self.session = session
        if isinstance(key, str) and key:
            self.key_path = place.keep(str(session["id"]), key)
        elif session.get("launch_mode") != "entrypoint":
            raise Failed(
                f"{session['id']} was taken, but the answer with its key got lost: end it with"
                f" `berth done {session['id']}`"
            )

    def _await(self) -> Json:
        with self.console.status("") as status:
            try:
                watch(
                    self.api,
                    self.session,
                    _COMING,
                    wait_s=self.wait_s,
                    poll_s=self.poll_s,
                    show=partial(self._show, status),
                )
            except Failed as error:
                raise Failed(f"{error}. {self._left_behind()}", error.body) from error
        now = self.session.get("status")
        if now in _COMING:
            raise Failed(f"It takes long. {self._left_behind()}")
        if now != "running":
            why = self.session.get("error") or "the server does not say why"
            raise Failed(f"{self.session['id']} {now}: {why}")
        return self.session

    def _show(self, status: Status, session: Json) -> None:
        is_new = not self.has_shown or session.get("status") != self.session.get("status")
        self.session, self.has_shown = session, True
        if session.get("status") in _COMING:
            now = plain(session["status"])
            told = f"{plain(session['id'])} is {now}, at {per_hour(session)} once it runs; Ctrl-C leaves it"
            status.update(Text(told))
            if is_new and not self.console.is_terminal:
                self._say(told)

    def _left_behind(self) -> str:
        if self.session:
            name, status = self.session["id"], self.session.get("status")
            return (
                f"{name} is left as it is ({status}, {per_hour(self.session)}): end it with `berth done {name}`,"
                f" log in with `berth ssh {name}`"
            )
        return _LOOK if self.is_asked else "Nothing was rented."

    def _say(self, sentence: str) -> None:
        self.console.print(Text(plain(sentence)), soft_wrap=True)


_LOOK = "A session may exist: `berth sessions` shows it, `berth done SESSION` ends it"


def candidates(api: Api, query: Mapping[str, object], max_price: float | None) -> list[Json]:
    """The offers to try, in the server's order: those first that are surest to be had, then by price."""
    found = [
        offer
        for offer in objects(api.get("inventory", **query), "offers")
        if max_price is None or is_within(offer.get("price_per_hour"), max_price)
    ]
    if not found:
        raise Failed("no offer is like that now: `berth offers` shows what there is; names of GPUs are exact")
    return found[:OFFERS_TRIED]


def is_within(price: object, most: float) -> bool:
    """Whether a price is known and no more than that: looked at here too, for it is about money."""
    return isinstance(price, int | Decimal) and price <= Decimal(str(most))
