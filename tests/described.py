"""Holds answers against the document of the API that the service gives: `/openapi.json`."""

import json
import re
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

WHOLE = "urn:document"
SPANNING = frozenset({"tag", "member", "namespace", "name"})
"""Parameters that may have slashes."""


class Document:
    """The document, and what it says about one answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        text = json.dumps(document).replace('"#/components/', f'"{WHOLE}#/components/')
        self.document = json.loads(text)  # its parts are used alone, so references name the whole
        whole: Resource[Any] = DRAFT202012.create_resource(self.document)
        self.registry: Registry[Any] = Registry().with_resource(WHOLE, whole)
        paths: list[str] = sorted(document["paths"], key=_literal, reverse=True)
        self.paths = [(_pattern(path), path) for path in paths]

    def find(self, path: str) -> str | None:
        """Return the path in the document that a request's path is meant by; None if there is none."""
        plain = re.sub(r"/+", "/", path.partition("?")[0])
        plain = re.sub(r"^/v2\.\d+(?=/|$)", "/v2", plain)
        for form in (plain, plain.rstrip("/")):
            for pattern, template in self.paths:
                if pattern.fullmatch(form):
                    return template
        return None

    def check(self, method: str, path: str, response: httpx2.Response) -> None:
        """Hold status, headers and body of an answer against its operation; a path without one is 404."""
        template = self.find(path)
        where = f"{method} {path} ({template}) → {response.status_code}"
        if template is None:
            assert response.status_code in {400, 401, 404}, where
            return
        if re.search(r"^/v2\.|/(\?|$)", path) and response.status_code == 404:
            return  # a version that is not served here, or an empty name
        operation = self.document["paths"][template].get(method.lower())
        if operation is None:
            assert method == "OPTIONS" or response.status_code in {404, 405}, where
            return
        described = operation["responses"].get(str(response.status_code))
        assert described is not None, f"{where}: only {', '.join(operation['responses'])} are described"
        described = self._resolved(described)
        for name, reference in described.get("headers", {}).items():
            header = self._resolved(reference)
            assert name in response.headers or not header["required"], f"{where}: no {name}"
            if name in response.headers:
                self._check_value(header["schema"], response.headers[name], f"{where}: {name}")
        self._check_body(described.get("content", {}), response, where)

    def _check_body(self, content: dict[str, Any], response: httpx2.Response, where: str) -> None:
        if not response.content:
            return
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in content, f"{where}: {kind} is not among {', '.join(content)}"
        if kind == "application/json":
            self._validate(content[kind]["schema"], response.json(), where)

    def _check_value(self, schema: dict[str, Any], text: str, where: str) -> None:
        value = json.loads(text) if schema.get("type") == "integer" else text
        self._validate(schema, value, where)

    def _validate(self, schema: dict[str, Any], value: Any, where: str) -> None:
        validator = Draft202012Validator(schema, registry=self.registry)
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert not errors, f"{where}: {errors[:3]}"

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in value:
            return value
        found: dict[str, Any] = self.registry.resolver().lookup(value["$ref"]).contents
        return found


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", path)
    text = [
        re.escape(part) if number % 2 == 0 else ".+" if part in SPANNING else "[^/]+"
        for number, part in enumerate(parts)
    ]
    return re.compile("".join(text))


def _literal(path: str) -> int:
    """Return how many characters of a path are no parameters: more of them come first."""
    return len(re.sub(r"{\w+}", "", path))
