"""Which route a path means. Paths without parameters are found in one step, the others by their segments."""

import re
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from berth.faces.face.refusals import MethodNotAllowed, RouteNotFound


class Placed(Protocol):
    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


R = TypeVar("R", bound=Placed)
_SAFE = re.compile(r"[A-Za-z0-9._:+@-]{1,128}")
"""What can stand for a parameter: whatever holds anything else names nothing, in any section of any face."""
_NO_PARAMETERS: Mapping[str, str] = {}


class Router(Generic[R]):
    """A fixed path wins over one with parameters: `/deployments/clusters` before `/deployments/{id}`.

    With `hides`, whatever the method: `trash` is no id then, and has the methods of its own path alone.
    """

    def __init__(self, routes: Sequence[R], *, hides: bool = False) -> None:
        self._hides = hides
        self._fixed: dict[str, dict[str, R]] = {}
        self._templates: dict[int, dict[tuple[str, ...], dict[str, R]]] = {}
        for route in routes:
            if "{" in route.path:
                segments = tuple(route.path.split("/"))
                methods = self._templates.setdefault(len(segments), {}).setdefault(segments, {})
            else:
                methods = self._fixed.setdefault(route.path, {})
            if route.method in methods:
                raise AssertionError(f"two routes for {route.method} {route.path}")
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route

    def find(self, method: str, path: str) -> tuple[R, Mapping[str, str]]:
        """Raises RouteNotFound, MethodNotAllowed."""
        methods = self._fixed.get(path)
        if methods is not None:
            route = methods.get(method)
            if route is not None:
                return route, _NO_PARAMETERS
            if self._hides:
                raise MethodNotAllowed(method, sorted(methods))
        parts = path.split("/")
        allow = set(methods or ())
        for segments, others in self._templates.get(len(parts), {}).items():
            parameters = _match(segments, parts)
            if parameters is not None:
                if method in others:
                    return others[method], parameters
                allow |= set(others)
        if allow:
            raise MethodNotAllowed(method, sorted(allow))
        raise RouteNotFound("route_not_found", f"There is nothing at {path[:100] or '/'!r}.")


def _match(segments: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    parameters = {}
    for segment, part in zip(segments, parts, strict=True):
        if segment[:1] == "{":
            if not _SAFE.fullmatch(part):
                return None
            parameters[segment[1:-1]] = part
        elif segment != part:
            return None
    return parameters
