"""The retail API as one table, section by section. Routing, documents, authorisation and limits are read off it."""

from berth.faces.face import Context, Edge, Face, Page, authenticate_by_key
from berth.faces.huddle import (
    account,
    billing,
    catalogue,
    deployments,
    envelope,
    errors,
    keys,
    limits,
    openapi,
    volumes,
    waitlist,
    webhooks,
    words,
)

PREFIX = "/api/v1"
NESTED_PREFIX = "/hudl/api/v1"

ROUTES = (
    *account.ROUTES,
    *billing.ROUTES,
    *limits.ROUTES,
    *catalogue.ROUTES,
    *keys.ROUTES,
    *deployments.ROUTES,
    *webhooks.ROUTES,
    *waitlist.ROUTES,
    *volumes.ROUTES,
)


def build(context: Context, *, is_nested: bool = False) -> Edge:
    """The face as an ASGI application, to be mounted at PREFIX, or nested at NESTED_PREFIX."""
    prefix = NESTED_PREFIX if is_nested else PREFIX
    face = Face(
        name="huddle",
        routes=ROUTES,
        authenticate=authenticate_by_key,
        render=envelope.nested if is_nested else envelope.flat,
        refuse=errors.refuse,
        minted_prefix=words.MINTED_KEY,
        pages=(
            Page(
                "/openapi.json",
                "application/json",
                lambda: openapi.documents(ROUTES, prefix, context.version, is_nested=is_nested)[0],
                reason="what the API is like is no secret",
            ),
            Page(
                "/docs",
                "text/html; charset=utf-8",
                lambda: openapi.documents(ROUTES, prefix, context.version, is_nested=is_nested)[1],
                reason="what the API is like is no secret",
            ),
        ),
    )
    return Edge(context, face)
