"""What can go wrong with the API server, translated once.

    KubeError
     +- NotFound              the object is not there
     +- Conflict              somebody else was faster, or the object is not the one that was meant
     |   +- AlreadyExists     it is there already
     +- Forbidden             a right is missing; the message names the verb, for the chart's RBAC
     |   +- NamespaceEnding   the namespace is being deleted: nothing can be made in it any more
     +- Invalid               the API server refuses the content
     +- Gone                  the resource version is too old to watch from: list again
     +- Unavailable           no answer, or one that says "later"

Every message is a sentence for a log line or a condition, without a trailing period.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER_ERRORS = 500


class KubeError(Exception):
    """The API server did not do what it was asked."""


class NotFound(KubeError):  # noqa: N818  the name of the API's own reason
    """The object is not there."""


class Conflict(KubeError):  # noqa: N818  the name of the API's own reason
    """Somebody else was faster, or the object is not the one that was meant."""


class AlreadyExists(Conflict):
    """An object of that name is there already."""


class Forbidden(KubeError):  # noqa: N818  the name of the API's own reason
    """A right is missing."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said or message
        """What the API server says, for callers that are not the operator."""


class NamespaceEnding(Forbidden):
    """The namespace is being deleted: nothing can be made in it any more."""


class Invalid(KubeError):  # noqa: N818  the name of the API's own reason
    """The API server refuses the content."""


class Gone(KubeError):  # noqa: N818  the name of the API's own reason
    """The resource version is too old to watch from."""


class Unavailable(KubeError):  # noqa: N818  the state, not a reason of the API
    """No answer, or one that says "later"."""


def from_status(code: int, status: Mapping[str, Any], what: str) -> KubeError:
    """Return the error for an answer with HTTP status `code`.

    Args:
        code: HTTP status, or the `code` of an ERROR event in a watch.
        status: The API server's `Status` object; may be empty.
        what: What was tried, such as `patch deployments support-router in namespace ml`.
    """
    message = str(status.get("message") or _phrase(code))
    if code == HTTPStatus.FORBIDDEN:
        return _forbidden(status, what, message)
    if code == HTTPStatus.CONFLICT:
        exists = status.get("reason") == "AlreadyExists"
        return (AlreadyExists if exists else Conflict)(f"cannot {what}: {message}")
    if code == HTTPStatus.UNAUTHORIZED:
        return Unavailable(f"cannot {what}: the API server does not accept our credentials")
    kinds: dict[int, type[KubeError]] = {
        HTTPStatus.NOT_FOUND: NotFound,
        HTTPStatus.GONE: Gone,
        HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
        HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    }
    kind = kinds.get(code, Unavailable if code >= _SERVER_ERRORS else Invalid)
    return kind(f"cannot {what}: {message}")


def _forbidden(status: Mapping[str, Any], what: str, message: str) -> Forbidden:
    causes = (status.get("details") or {}).get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceEnding(f"cannot {what}: the namespace is being deleted")
    if "cannot" not in message:
        return Forbidden(f"cannot {what}: {message}")  # quota, admission, pod security
    return Forbidden(
        f"the operator has no right to {what}; the chart's ClusterRole grants it, so it is "
        f"missing or was changed (the API server says: {message})",
        said=message,
    )


def _phrase(code: int) -> str:
    try:
        return f"the API server answered {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"the API server answered {code}"
