"""Health checks and metrics."""

import hmac
from typing import Final

from starlette.responses import PlainTextResponse, Response

from tintype.api import errors as error_responses
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.json_schema import STRING
from tintype.api.operation import TEXT, Answer, describe
from tintype.auth.base import Authenticator
from tintype.errors import Unauthenticated, Unavailable
from tintype.observability.metrics import CONTENT_TYPE, Metrics
from tintype.policy.engine import Policy
from tintype.services.health import Health

_OK: Final = Answer(200, STRING, media_type=TEXT)


class OperationsApi:
    """Handlers for monitoring systems and load balancers."""

    def __init__(
        self,
        health: Health,
        metrics: Metrics,
        authenticator: Authenticator,
        policy: Policy,
        *,
        token: str | None,
    ) -> None:
        """Create the handlers; details need the bearer `token`, or a user whom the policy allows."""
        self._health = health
        self._metrics = metrics
        self._authenticator = authenticator
        self._policy = policy
        self._token = token

    @describe(_OK)
    async def live(self, _call: Call) -> Response:
        """Report liveness: if this fails, restart the process."""
        return PlainTextResponse("OK")

    @describe(_OK, errors=(503,))
    async def ready(self, call: Call) -> Response:
        """Report readiness: if this fails, send requests elsewhere."""
        try:
            await self._health.ready()
        except Unavailable as error:
            call.failure = error
            return PlainTextResponse(error.message, 503, error_responses.headers_of(error))
        return PlainTextResponse("OK")

    @describe(Answer(200, "health"), needs="bearer")
    async def detail(self, call: Call) -> Response:
        """Report the health of each component."""
        await self._check(call, "get_health")
        parts = await self._health.detail()
        broken = [f"{name}: {part['reason']}" for name, part in parts.items() if not part["ok"]]
        if broken:
            call.failure = Unavailable(" ".join(broken))
        return wire.json_response({"parts": parts}, 503 if broken else 200)

    @describe(Answer(200, STRING, media_type=TEXT), needs="bearer")
    async def metrics(self, call: Call) -> Response:
        """Return the metrics in Prometheus's text format."""
        await self._check(call, "get_metrics")
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _check(self, call: Call, rule: str) -> None:
        """Accept the bearer token, which needs no database, or a user's token that the rule allows."""
        scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
        known = self._token is not None and hmac.compare_digest(bearer.encode(), self._token.encode())
        if scheme.lower() == "bearer" and known:
            return
        token = call.token("X-Auth-Token")
        if not token:
            raise Unauthenticated("This page needs an admin's token, or that of the setting metrics.token.")
        call.admit(await self._authenticator.authenticate(token, address=call.address))
        self._policy.require(rule, call.caller, {})
