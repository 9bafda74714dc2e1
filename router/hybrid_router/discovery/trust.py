"""TLS contexts: whom the router believes about a backend's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.discovery.files import Signature, signature
from hybrid_router.upstream.client import client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable


class TrustMissing(Exception):  # noqa: N818  a state that passes, not a fault of the code
    """A file of certificate authorities is missing or holds none.

    Attributes:
        name: the file's path.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"certificate authorities {name} cannot be read")
        self.name = name


class Trust:
    """One context per file of authorities (and one without), made once and again on change."""

    def __init__(self) -> None:
        self._files: frozenset[str] = frozenset()
        self._seen: dict[str, Signature | None] = {}
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    def follow(self, files: Iterable[str]) -> None:
        """Watch exactly these files from now on."""
        self._files = frozenset(files)
        self._seen = {path: signature(path) for path in self._files}
        self._contexts = {p: c for p, c in self._contexts.items() if p is None or p in self._files}

    def poll(self) -> bool:
        """Forget the contexts whose files changed; return whether there are any."""
        now = {path: signature(path) for path in self._files}
        changed = [path for path, seen in now.items() if seen != self._seen[path]]
        self._seen = now
        for path in changed:
            self._contexts.pop(path, None)
        return bool(changed)

    def context(self, ca_file: str | None) -> ssl.SSLContext:
        """Return the context that verifies by the system's authorities and those in `ca_file`.

        Raises:
            TrustMissing: the file cannot be read or is not PEM; verifying less is no way out.
        """
        known = self._contexts.get(ca_file)
        if known is None:
            try:
                known = self._contexts[ca_file] = client_context(ca_file)
            except OSError:
                raise TrustMissing(ca_file or "of the system") from None
        return known
