"""Looks at a session again and again while it is on its way. A server that is away for a while keeps its sessions."""

import time
from collections.abc import Callable, Collection

from berth.shopping.calls import Api, Failed, Json

SILENCE_S = 60.0
"""How long the server may be away."""


def watch(
    api: Api,
    session: Json,
    on_its_way: Collection[str],
    *,
    wait_s: float,
    poll_s: float,
    show: Callable[[Json], None],
) -> Json:
    """The session once its status is none of `on_its_way`, or as it was when `wait_s` was over. Raises Failed."""
    session_id = str(session["id"])
    heard_at = time.monotonic()
    ends_at = heard_at + wait_s
    while True:
        show(session)
        if session.get("status") not in on_its_way or time.monotonic() >= ends_at:
            return session
        time.sleep(poll_s)
        try:
            session = api.get("sessions", session_id)
        except Failed as error:
            if not error.may_pass or time.monotonic() - heard_at > SILENCE_S:
                raise
        else:
            heard_at = time.monotonic()
