"""What the server answers instead of a result: problem details, application/problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from digitnet.errors import DigitNetError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1


class Problem(Exception):
    """A request that is refused.

    Args:
        status: the HTTP status.
        detail: what was found and what to do, in the words that the command line has for it.
        headers: what goes with it; a 503 says by itself when to try again.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    @classmethod
    def of(cls, error: DigitNetError) -> "Problem":
        """What DigitNet raised on purpose."""
        return cls(error.http_status, str(error))

    @property
    def body(self) -> bytes:
        """The problem details, as JSON."""
        title = HTTPStatus(self.status).phrase
        return json.dumps(
            {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        ).encode()
