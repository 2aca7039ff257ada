"""Answers as a Horizon does: its own views, with a user's token of a Keystone, and without a web server.

Run it with a Python that has `horizon`, and the URL of a Keystone (…/v3). Each line of standard input is a
JSON object: `method`, `path` (below `/api/`), and where they are wanted `query` (an object), `token` (none:
not logged in), `ajax` (true unless said), `body` (JSON), `text` (in place of it), `form` (an object) with
`files` (of a field's name: name and content), `cookies`. Each line of output is an answer's `status`, `body`
(text where it is no JSON) and `location`.
"""

import contextlib
import json
import sys
import types
from typing import Any
from urllib.parse import urlencode

import django
import requests
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.base import BaseHandler
from django.test import RequestFactory

KEYSTONE = sys.argv[1]


def configure() -> None:
    """Set Horizon's own defaults, and what its settings file adds that its REST needs."""
    from openstack_dashboard import defaults, exceptions

    kinds = {
        "recoverable": exceptions.RECOVERABLE,
        "not_found": exceptions.NOT_FOUND,
        "unauthorized": exceptions.UNAUTHORIZED,
    }
    values = {name: value for name, value in vars(defaults).items() if name.isupper()}
    values |= {
        "ALLOWED_HOSTS": ["*"],
        "HORIZON_CONFIG": {"exceptions": kinds},
        "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth", "openstack_auth"],
        "MIDDLEWARE": [],
        "OPENSTACK_KEYSTONE_URL": KEYSTONE,
        "ROOT_URLCONF": __name__,
        "SECRET_KEY": "of nobody",
        "USE_TZ": True,
    }
    settings.configure(**values)
    django.setup()


def routes() -> list[Any]:
    """Give the paths of Horizon's REST; only settings make its modules importable."""
    from django.urls import include, re_path
    from openstack_dashboard.api import rest

    return [re_path(r"^api/", include(rest.urls))]


def user_of(token: str | None) -> Any:
    """Give as much of a logged-in user as Horizon's clients ask for, or one who is not."""
    user = types.SimpleNamespace(is_authenticated=bool(token))
    if token:
        found = requests.get(f"{KEYSTONE}/auth/catalog", headers={"X-Auth-Token": token}, timeout=20)
        user.token = types.SimpleNamespace(id=token)
        user.service_catalog = found.json()["catalog"]
        user.services_region = None
    return user


def request_of(call: dict[str, Any]) -> Any:
    """Build the request that a browser would send."""
    factory = RequestFactory()
    factory.cookies.load(call.get("cookies") or {})
    path = f"/api/{call['path']}?{urlencode(call.get('query') or {})}"
    more = {"headers": {"X-Requested-With": "XMLHttpRequest"}} if call.get("ajax", True) else {}
    if "form" in call:
        files = {
            field: SimpleUploadedFile(name, content.encode())
            for field, (name, content) in (call.get("files") or {}).items()
        }
        request = factory.post(path, {**call["form"], **files}, **more)
    else:
        text = call.get("text") or ("" if call.get("body") is None else json.dumps(call["body"]))
        request = factory.generic(call["method"], path, text, "application/json", **more)
    request.session = {}
    request.user = user_of(call.get("token"))
    return request


def answer(handler: BaseHandler, call: dict[str, Any]) -> dict[str, Any]:
    """Answer one call."""
    response = handler.get_response(request_of(call))
    body = response.content.decode()
    with contextlib.suppress(ValueError):
        body = json.loads(body)
    return {"status": response.status_code, "body": body, "location": response.headers.get("Location")}


configure()
urlpatterns = routes()

if __name__ == "__main__":
    server = BaseHandler()
    server.load_middleware()
    for line in sys.stdin:
        print(json.dumps(answer(server, json.loads(line))), flush=True)
