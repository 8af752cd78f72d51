"""Templates: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.shopper.templates import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/templates",
        handler=handlers.list_templates,
        summary="The templates of all providers",
        scope="catalog:read",
        query=wire.TemplatesQuery,
        answer=wire.Templates,
        rate=Rate.LIST,
    ),
    Route(
        method="GET",
        path="/api/v1/templates/{hash_id}",
        handler=handlers.get_template,
        summary="One template",
        scope="catalog:read",
        answer=wire.Template,
    ),
)
