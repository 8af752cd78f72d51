"""Tags: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.face.table import Handler
from berth.faces.verda.tags import handlers
from berth.faces.verda.wire import NewTag, Tag


def _tags(path: str, scope: str, *, add: Handler, remove: Handler) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            path=f"{path}/{{id}}/tags",
            handler=add,
            summary="Put a tag on it; keys are kept in lower case, each once",
            scope=scope,
            body=NewTag,
            answer=Tag,
            status=201,
            rate=Rate.WRITE,
        ),
        Route(
            method="DELETE",
            path=f"{path}/{{id}}/tags/{{key}}",
            handler=remove,
            summary="Take a tag off it",
            scope=scope,
            answer=None,
            status=204,
            rate=Rate.WRITE,
        ),
    )


ROUTES = (
    *_tags("/instances", "deployments:write", add=handlers.tag_instance, remove=handlers.untag_instance),
    *_tags("/volumes", "volumes:write", add=handlers.tag_volume, remove=handlers.untag_volume),
    *_tags("/clusters", "deployments:write", add=handlers.tag_cluster, remove=handlers.untag_cluster),
)
