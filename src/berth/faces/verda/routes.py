"""The IaaS API as one table, section by section. Routing, documents, authorisation and limits are read off it."""

from berth.faces.face import Context, Edge, Face, Limits, Page
from berth.faces.verda import (
    catalogue,
    clusters,
    envelope,
    errors,
    instances,
    keys,
    oauth,
    openapi,
    tags,
    volumes,
)

PREFIX = "/v1"

ROUTES = (
    *oauth.ROUTES,
    *catalogue.ROUTES,
    *keys.ROUTES,
    *instances.ROUTES,
    *volumes.ROUTES,
    *clusters.ROUTES,
    *tags.ROUTES,
)


def build(context: Context) -> Edge:
    """The face as an ASGI application, to be mounted at PREFIX."""
    face = Face(
        name="verda",
        routes=ROUTES,
        authenticate=oauth.authenticate_by_token,
        render=envelope.render,
        refuse=errors.refuse,
        takes_keys=False,
        hides_templates=True,
        limits=Limits(all_word=b"project", one_word=b"endpoint", counts_paths=True),
        pages=(
            Page(
                "/openapi.json",
                "application/json",
                lambda: openapi.documents(ROUTES, PREFIX, context.version)[0],
                reason="what the API is like is no secret",
            ),
            Page(
                "/docs",
                "text/html; charset=utf-8",
                lambda: openapi.documents(ROUTES, PREFIX, context.version)[1],
                reason="what the API is like is no secret",
            ),
        ),
    )
    return Edge(context, face)
