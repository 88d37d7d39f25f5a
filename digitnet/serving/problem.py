"""What the server answers instead of a result: problem details, application/problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1


class Problem(Exception):
    """A request that is refused.

    Args:
        status: the HTTP status.
        detail: what was found and what to do. The command line uses the same words.
        headers: to send with it; `Retry-After` is added to a 503.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    @property
    def details(self) -> dict[str, Any]:
        """The JSON object."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": str(self)}

    def response(self) -> Response:
        return Response(json.dumps(self.details), self.status, self.headers, MEDIA_TYPE)
