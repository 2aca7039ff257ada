"""The base of controllers: send an operation, and return its result with the request id."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from tintype.client.glance.common import utils
from tintype.client.glance.v2.schemas import Model, SchemaBasedModel, model_factory
from tintype.client.requests import Request


class Base:
    """A controller with a sender (`http_client`) and the schemas (`schema_client`)."""

    def __init__(self, http_client: Any, schema_client: Any = None) -> None:
        self.http_client = http_client
        self.schema_client = schema_client
        self._models: dict[tuple[str, bool], type[SchemaBasedModel]] = {}

    def _model(self, schema: str, *, validated: bool = True) -> type[SchemaBasedModel]:
        """Return the class of records of a schema, which is requested once."""
        if (schema, validated) not in self._models:
            raw = self.schema_client.get(schema).raw()
            self._models[schema, validated] = model_factory(raw, validated=validated)
        return self._models[schema, validated]

    def _send(self, request: Request[Any], headers: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
        """Send an operation; return response and body."""
        send = getattr(self.http_client, request.method.lower())
        given: dict[str, Any] = {}
        if headers or request.headers:
            given["headers"] = {**request.headers, **(headers or {})}
        if request.body is not None:
            text = isinstance(request.body, list)
            given["data"] = msgspec.json.encode(request.body).decode() if text else request.body
        response, body = send(request.target, **given)
        if isinstance(body, dict):
            body.pop("self", None)
        return response, body

    def _record(self, model: Callable[..., Model], request: Request[Any], headers: Any = None) -> Model:
        """Send an operation and return one record."""
        response, body = self._send(request, headers)
        record: Model = utils.with_ids(model(body), response)
        return record

    def _done(self, request: Request[Any], headers: Any = None) -> utils.Tuple:
        """Send an operation without a result."""
        response, body = self._send(request, headers)
        done: utils.Tuple = utils.with_ids((response, body), response)
        return done

    def _body(self, request: Request[Any]) -> Any:
        """Send an operation and return its body unchanged."""
        response, body = self._send(request)
        return utils.with_ids(body, response)

    def _pages(
        self, request: Request[Any], key: str, limit: int | None = None, size: int | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the entries of all pages, at most `limit`, each with its response."""
        target: str | None = request.target
        headers: dict[str, Any] = {}
        while target is not None:
            if limit is not None and size is not None and size > limit:
                target = target.replace(f"limit={size}", f"limit={limit}")
            response, body = self.http_client.get(target, headers=headers)
            headers = {"x-openstack-request-id": utils.request_id_of(response)}
            for entry in body[key]:
                entry.pop("self", None)
                yield entry, response
                if limit is not None:
                    limit -= 1
                    if limit <= 0:
                        return
            target = body.get("next")
