"""The OpenAPI 3.1 document of a face, assembled from its routes table; msgspec gives the JSON Schemas."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from berth.faces.face.table import Listing, Route

_PARAMETER = re.compile(r"{(\w+)}")
_REFERENCE = "#/components/schemas/{name}"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the routes table does not say."""

    title: str
    version: str
    prefix: str
    security: Mapping[str, Schema]
    """Ways to authenticate, by name: any one of them will do."""
    envelope: Callable[[Schema, Listing], Schema]
    """The schema of a success, around the schema of what it answers."""
    problem: type[msgspec.Struct]
    problems: Mapping[int, str]
    """What each status of a refusal means."""


def document(about: About, routes: Sequence[Route]) -> Schema:
    """The whole document, as plain JSON values."""
    schemas = _Schemas([about.problem, *(wanted for route in routes for wanted in _types(route))])
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(about, route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": about.title, "version": about.version},
        "servers": [{"url": about.prefix}],
        "security": [{name: []} for name in about.security],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": dict(about.security)},
    }


class _Schemas:
    """The JSON Schema of each wire type, and the components they refer to."""

    def __init__(self, types: Sequence[Any]) -> None:
        known: list[Any] = []
        known.extend(wanted for wanted in types if wanted not in known)
        found, components = msgspec.json.schema_components(known, ref_template=_REFERENCE)
        self.components: Schema = _with_numbers(components)
        self._known = list(zip(known, found, strict=True))

    def of(self, wanted: Any) -> Schema:
        return next(_with_numbers(schema) for known, schema in self._known if known is wanted)

    def has_required(self, wanted: type[msgspec.Struct]) -> bool:
        """Whether it has a member that has to be sent; no body at all is an empty one."""
        return bool(self.components[wanted.__name__].get("required"))

    def members_of(self, wanted: type[msgspec.Struct]) -> Schema:
        members: Schema = self.components[wanted.__name__]["properties"]
        return members


def _types(route: Route) -> list[Any]:
    return [wanted for wanted in (route.answer, route.query, route.body) if wanted is not None]


def _operation(about: About, route: Route, schemas: _Schemas) -> Schema:
    problem = {"application/json": {"schema": schemas.of(about.problem)}}
    success = about.envelope(schemas.of(route.answer), route.listing)
    operation: Schema = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": f"Needs the scope `{route.scope}`.",
        "tags": [route.path.split("/")[1]],
        "parameters": _parameters(route, schemas),
        "responses": {
            "200": {
                "description": "Done",
                "content": {
                    "application/json": {"schema": success},
                    **{other: {"schema": {"type": "string"}} for other in route.other_media_types},
                },
            },
            **{
                str(status): {"description": meaning, "content": problem}
                for status, meaning in about.problems.items()
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": schemas.has_required(route.body),
            "content": {"application/json": {"schema": schemas.of(route.body)}},
        }
    return operation


def _parameters(route: Route, schemas: _Schemas) -> list[Schema]:
    text = {"type": "string"}
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        found += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in schemas.members_of(route.query).items()
        ]
    if route.is_idempotent:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key with the same request gets the first answer again, for 24 hours.",
                "schema": text | {"maxLength": 255},
            }
        )
    return found


def _with_numbers(schema: Any) -> Any:
    """Decimals travel as JSON numbers here; msgspec describes them as text."""
    match schema:
        case {"type": "string", "format": "decimal", **rest}:
            return {"type": "number", **rest}
        case dict():
            return {name: _with_numbers(value) for name, value in schema.items()}
        case list() | tuple():
            return [_with_numbers(value) for value in schema]
        case _:
            return schema
