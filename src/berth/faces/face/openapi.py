"""The OpenAPI 3.1 document of a face, assembled from its routes table; msgspec gives the JSON Schemas."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from berth.faces.face.table import Listing, Route

_PARAMETER = re.compile(r"{(\w+)}")
_SECTION = re.compile(r"/(?:api/v\d+/)?([^/]+)")
_NO_CONTENT = 204
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
    takes_keys: bool = True
    """Whether an Idempotency-Key means anything to this API."""
    answer_headers: Sequence[tuple[str, str]] = ()
    """Headers of every answer to somebody known, each with what it says."""


def document(about: About, routes: Sequence[Route]) -> Schema:
    """The whole document, as plain JSON values."""
    schemas = _Schemas([about.problem, *(wanted for route in routes for wanted in _types(route))])
    paths: dict[str, Schema] = {}
    names: set[str] = set()
    for route in routes:
        operation = _operation(about, route, schemas)
        name = operation["operationId"]
        if name in names:  # the same under another path
            operation["operationId"] = f"{name}_at{re.sub(r'[^a-z0-9]+', '_', route.path.lower())}"
        names.add(name)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": about.title, "version": about.version},
        "servers": [{"url": about.prefix}],
        "security": [{name: []} for name in about.security],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": dict(about.security)},
    }


def tag_of(path: str) -> str:
    """The section of the API that a path belongs to."""
    found = _SECTION.match(path)
    return path if found is None else found[1]


class _Schemas:
    """The JSON Schema of each wire type, and the components they refer to."""

    def __init__(self, types: Sequence[Any]) -> None:
        known: list[Any] = []
        known.extend(wanted for wanted in types if wanted not in known)
        found, components = msgspec.json.schema_components(known, ref_template=_REFERENCE)
        self.components: Schema = _with_numbers(components)
        self._known = list(zip(known, found, strict=True))

    def of(self, wanted: Any) -> Schema:
        if isinstance(wanted, tuple):
            return {"oneOf": [self.of(each) for each in wanted]}
        return next(_with_numbers(schema) for known, schema in self._known if known is wanted)

    def has_required(self, wanted: type[msgspec.Struct]) -> bool:
        """Whether it has a member that has to be sent; no body at all is an empty one."""
        return bool(self.components[wanted.__name__].get("required"))

    def members_of(self, wanted: type[msgspec.Struct]) -> Schema:
        members: Schema = self.components[wanted.__name__]["properties"]
        return members


def _types(route: Route) -> list[Any]:
    answers = route.answer if isinstance(route.answer, tuple) else (route.answer,)
    return [wanted for wanted in (*answers, route.query, route.body) if wanted is not None]


def _operation(about: About, route: Route, schemas: _Schemas) -> Schema:
    successes = _successes(about, route, schemas)
    problem = {"application/json": {"schema": schemas.of(about.problem)}}
    operation: Schema = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": "Needs no credentials." if route.is_public else f"Needs the scope `{route.scope}`.",
        "tags": [tag_of(route.path)],
        "parameters": _parameters(about, route, schemas),
        "responses": successes
        | {
            str(status): {"description": meaning, "content": problem}
            for status, meaning in about.problems.items()
            if str(status) not in successes
        },
    }
    if route.is_public:
        operation["security"] = []
    if route.is_deprecated:
        operation["deprecated"] = True
    if route.body is not None:
        content = {"schema": schemas.of(route.body)}
        operation["requestBody"] = {
            "required": schemas.has_required(route.body),
            "content": {"application/json": content}
            | ({"application/x-www-form-urlencoded": content} if route.takes_form else {}),
        }
    return operation


def _successes(about: About, route: Route, schemas: _Schemas) -> Schema:
    success: Schema = {"description": "Done"} | _headers(about, route)
    if route.answer is not None:
        schema = about.envelope(schemas.of(route.answer), route.listing)
        success["content"] = {
            route.media_type.decode().partition(";")[0]: {"schema": schema},
            **{other: {"schema": {"type": "string"}} for other in route.other_media_types},
        }
    found = {str(route.status): success}
    for status, meaning in route.other_statuses:
        other = success | {"description": meaning}
        if status == _NO_CONTENT:
            other.pop("content", None)
        found[str(status)] = other
    return found


def _headers(about: About, route: Route) -> Schema:
    told = (*route.answer_headers, *(() if route.is_public else about.answer_headers))
    described = {name: {"description": what, "schema": {"type": "string"}} for name, what in told}
    return {"headers": described} if described else {}


def _parameters(about: About, route: Route, schemas: _Schemas) -> list[Schema]:
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
    if route.is_idempotent and about.takes_keys:
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
