"""The API's document in the form of OpenAPI 3.1, made from the table of routes."""

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

from tintype.api.errors import STATUS, title
from tintype.api.json_schema import STRING, Schema, ref
from tintype.api.operation import JSON, TEXT, Answer, Operation, Parameter, operation_of
from tintype.api.parameters import ALWAYS, GLOBAL_ID, HEADERS, PATH, REQUIRED, SERVICE_TOKEN
from tintype.api.route import Endpoint, Route

PRIVATE: Final = ("/dashboard", "/api/")
"""Beginnings of paths that are left out: only the service's own page uses them, and they may change."""
_DESCRIPTION: Final = """
The OpenStack Image API v2 (`/v2`), the part of the OpenStack Identity API v3 that the built-in identity has
(`/identity/v3`), and the operator's paths.

`/v2.N` of each version that `/versions` lists means `/v2`. Every path answers `OPTIONS` with `Allow`, and a
method that it does not have with 405. Names in paths may contain slashes where the API's names may.
"""
_ALL: Final = (400, 431, 500, 501, 503)
_WITH_TOKEN: Final = (401, 403, 429)
_WITH_BODY: Final = (408, 413)
_OF_ERROR: Final[dict[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    412: ("Tus-Version",),
    415: ("Accept-Patch",),
    416: ("Content-Range",),
    423: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_TOKEN: Final[dict[str, list[str]]] = {"token": []}
_BEARER: Final[dict[str, list[str]]] = {"bearer": []}
_STATUSES: Final = sorted({*_ALL, *STATUS.values()} - {499})
"""The statuses of errors; 499 is never sent."""


def document(routes: Mapping[str, Route], schemas: Mapping[str, Schema], version: str) -> dict[str, Any]:
    """Return the document of a table of routes; `schemas` are those that operations name."""
    shown = {path: route for path, route in routes.items() if not path.startswith(PRIVATE)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tintype",
            "version": version,
            "description": _DESCRIPTION.strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "./", "description": "The service that has this document"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(route) for route in shown.values())],
        "paths": {_path(path): _path_item(path, route) for path, route in shown.items()},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": {each.name: _parameter(each) for each in (SERVICE_TOKEN, GLOBAL_ID)},
            "headers": {name: _header(name) for name in HEADERS},
            "responses": {f"Error{status}": _error(status) for status in _STATUSES},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "A token of the identity service.",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of the setting `metrics.token`.",
                },
            },
        },
    }


def _path(path: str) -> str:
    return path.replace("...}", "}")


def _tag(route: Route) -> str:
    """Return the noun of a route's handlers: the name of their class without its last word."""
    name = next(iter(route.methods.values())).__qualname__.partition(".")[0].removesuffix("Api")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _path_item(path: str, route: Route) -> dict[str, Any]:
    names = re.findall(r"{(\w+)", path)
    item: dict[str, Any] = {}
    if names:
        item["parameters"] = [_path_parameter(name) for name in names]
    for method, endpoint in route.methods.items():
        item[method.lower()] = _operation(path, method, endpoint, route)
    if route.options:
        item["options"] = _options(path, route)
    return item


def _path_parameter(name: str) -> dict[str, Any]:
    description, schema = PATH[name]
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _operation(path: str, method: str, endpoint: Endpoint, route: Route) -> dict[str, Any]:
    operation = operation_of(endpoint)
    summary, _, rest = inspect.cleandoc(endpoint.__doc__ or "").partition("\n")
    shown: dict[str, Any] = {
        "operationId": _operation_id(path, method),
        "summary": summary,
        "description": rest.strip(),
        "tags": [_tag(route)],
        "security": _security(operation, route),
    }
    shared = (*(() if route.open else (SERVICE_TOKEN,)), GLOBAL_ID)
    shown["parameters"] = [_parameter(each) for each in operation.parameters]
    shown["parameters"] += [{"$ref": f"#/components/parameters/{each.name}"} for each in shared]
    if operation.body is not None:
        content = {kind: {"schema": _schema(schema)} for kind, schema in operation.body.content.items()}
        shown["requestBody"] = {"required": operation.body.required, "content": content}
    responses = {answer.status: _answer(answer, method, route) for answer in operation.answers}
    errors = _errors(operation, path, needs_token=bool(shown["security"]))
    responses |= {status: _error_at(status, method, route) for status in errors - responses.keys()}
    shown["responses"] = {str(status): responses[status] for status in sorted(responses)}
    return {name: value for name, value in shown.items() if value != ""}


def _operation_id(path: str, method: str) -> str:
    """Return a name that no other operation has: the method and the literal parts of the path."""
    words = [part.strip("{}.") for part in path.split("/") if part] + ["index"] * path.endswith("/")
    return "_".join([method.lower(), *words]).replace("-", "_")


def _security(operation: Operation, route: Route) -> list[dict[str, list[str]]]:
    needs = operation.needs
    if needs == "bearer":
        return [_TOKEN, _BEARER]
    return [_TOKEN] if needs == "token" or not route.open else []


def _errors(operation: Operation, path: str, *, needs_token: bool) -> set[int]:
    found = {*_ALL, *operation.errors}
    if needs_token:
        found |= {*_WITH_TOKEN}
    if operation.body is not None:
        found |= {*_WITH_BODY}
    if "{" in path:
        found.add(404)
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _schema(schema: str | Schema) -> Schema:
    return ref(schema) if isinstance(schema, str) else schema


def _answer(answer: Answer, method: str, route: Route) -> dict[str, Any]:
    shown = {"description": title(answer.status), "headers": _headers(*answer.headers, *_names(route))}
    if answer.schema is not None and method != "HEAD":
        shown["content"] = {answer.media_type: {"schema": _schema(answer.schema)}}
    return shown


def _error_at(status: int, method: str, route: Route) -> dict[str, Any]:
    """Return the response of an error: the shared one, if the route has no headers of its own."""
    if method != "HEAD" and not route.headers:
        return {"$ref": f"#/components/responses/Error{status}"}
    shown = _error(status, *_names(route))
    if method == "HEAD":
        del shown["content"]
    return shown


def _error(status: int, *headers: str) -> dict[str, Any]:
    return {
        "description": title(status),
        "headers": _headers(*_OF_ERROR.get(status, ()), *headers),
        "content": {JSON: {"schema": ref("error")}, TEXT: {"schema": STRING}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *ALWAYS)}


def _header(name: str) -> dict[str, Any]:
    description, schema = HEADERS[name]
    return {"description": description, "required": name in REQUIRED, "schema": schema}


def _names(route: Route) -> tuple[str, ...]:
    """Return the names of the headers that every response of a route has, as the document writes them."""
    written = {name.lower(): name for name in HEADERS}
    return tuple(written[name.decode()] for name, _ in route.headers)


def _options(path: str, route: Route) -> dict[str, Any]:
    return {
        "operationId": _operation_id(path, "OPTIONS"),
        "summary": "Return what the service offers.",
        "tags": [_tag(route)],
        "security": [],
        "responses": {
            "200": {
                "description": title(200),
                "headers": _headers("Allow", *route.options, *_names(route)),
            }
        },
    }
