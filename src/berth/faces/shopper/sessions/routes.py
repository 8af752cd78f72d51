"""Sessions: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.shopper.sessions import handlers, opening, translate, wire

_READ, _WRITE = "deployments:read", "deployments:write"
_CREATED = 201

ROUTES = (
    Route(
        method="POST",
        path="/api/v1/sessions",
        handler=opening.open_session,
        summary="Take an offer for some hours; answers once the provider has made it, with the key that opens it",
        scope=_WRITE,
        body=wire.CreateRequest,
        answer=wire.Created,
        status=_CREATED,
        rate=Rate.DEPLOY,
        prepare=opening.prepare,
        follow=opening.await_outcome,
        redact=translate.without_secrets,
        lives=translate.lives,
    ),
    Route(
        method="GET",
        path="/api/v1/sessions",
        handler=handlers.list_sessions,
        summary="Sessions, newest first, those that ended too",
        scope=_READ,
        query=wire.SessionsQuery,
        answer=wire.Sessions,
        rate=Rate.LIST,
    ),
    Route(
        method="GET",
        path="/api/v1/sessions/{id}",
        handler=handlers.get_session,
        summary="One session: how it is, and how to log in",
        scope=_READ,
        answer=wire.Session,
    ),
    Route(
        method="POST",
        path="/api/v1/sessions/{id}/done",
        handler=handlers.session_done,
        summary="The work is complete: end it as its storage policy says",
        scope=_WRITE,
        answer=wire.Told,
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="POST",
        path="/api/v1/sessions/{id}/extend",
        handler=handlers.extend_session,
        summary="Let it end some hours later",
        scope=_WRITE,
        body=wire.ExtendRequest,
        answer=wire.Extended,
        rate=Rate.WRITE,
    ),
    Route(
        method="DELETE",
        path="/api/v1/sessions/{id}",
        handler=handlers.delete_session,
        summary="Destroy it, and its disk with it",
        scope=_WRITE,
        answer=wire.Told,
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="GET",
        path="/api/v1/sessions/{id}/diagnostics",
        handler=handlers.get_session_diagnostics,
        summary="What is known of a session that runs: its login, its time, its use",
        scope=_READ,
        answer=wire.Diagnostics,
    ),
    Route(
        method="POST",
        path="/api/v1/sessions/{id}/heartbeat",
        handler=handlers.session_heartbeat,
        summary="A program in the session says for how long nothing happened there; its token is its credential",
        scope=_WRITE,
        body=wire.HeartbeatRequest,
        answer=wire.Heard,
        rate=Rate.WRITE,
        is_public=True,
        pokes="provisioning",
    ),
)
