"""Which classes of data a policy can name, and what is done where one is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from hybrid_router.table.values import Name, Part, TableError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSCANNED = "unscanned"
"""The class of what cannot be scanned: media, files, stored conversations, token ids."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "national-id": (
        "br-cpf", "de-steuer-id", "es-dni", "fr-nir", "it-codice-fiscale", "nl-bsn", "pl-pesel",
        "uk-nino", "us-ssn", "vn-cccd",
    ),
    "ip-address": ("ipv4", "ipv6"),
    "secret": (
        "age-key", "anthropic-key", "aws-access-key", "aws-secret-key", "azure-key",
        "bearer-token", "databricks-token", "digitalocean-token", "docker-token", "github-token",
        "gitlab-token", "google-api-key", "google-oauth-token", "groq-key", "huggingface-token",
        "jwt", "linear-key", "npm-token", "openai-key", "password", "private-key", "pypi-token",
        "sendgrid-key", "shopify-token", "slack-token", "slack-webhook", "stripe-key",
        "telegram-token", "twilio-key", "vault-token",
    ),
}  # fmt: skip
"""Classes that stand for several types."""

TYPES: frozenset[str] = frozenset({"email", "phone", "payment-card", "iban"}).union(
    *GROUPS.values()
)
"""Types that are built in; each is a class of its own, too."""

BUILT_IN: frozenset[str] = TYPES | set(GROUPS) | {UNSCANNED}

Class = Annotated[str, Meta(min_length=1, max_length=63)]
Pattern = Annotated[str, Meta(min_length=1, max_length=512)]
Word = Annotated[str, Meta(min_length=1, max_length=128)]


class DataPolicy(Part, frozen=True):
    """What is looked for in every request, and what follows. The strictest rule wins."""

    keep_local: tuple[Class, ...] = ()
    """Requests with these never leave the cluster, whatever fails."""
    redact: tuple[Class, ...] = ()
    """Replaced before a request leaves the cluster, and restored in the answer."""
    refuse: tuple[Class, ...] = ()
    """Requests with these are refused."""
    patterns: dict[Name, Pattern] = {}
    """Own classes: a regular expression in RE2's syntax."""
    words: dict[Name, tuple[Word, ...]] = {}
    """Own classes: words or phrases that stand alone, in upper or lower case."""


def check_data_policy(where: str, policy: DataPolicy) -> None:
    """Check that every class exists, and that its rule can be carried out.

    Raises:
        TableError: says which class is wrong.
    """
    own = policy.patterns.keys() | policy.words.keys()
    for name in sorted(own & BUILT_IN):
        raise TableError(f"{where}: {name!r} is built in; an own class needs another name")
    for name in sorted(policy.patterns.keys() & policy.words.keys()):
        raise TableError(f"{where}: {name!r} is both in patterns and in words")
    for field, classes in (
        ("keepLocal", policy.keep_local),
        ("redact", policy.redact),
        ("refuse", policy.refuse),
    ):
        for name in classes:
            if name not in BUILT_IN and name not in own:
                told = "is no class: neither built in nor in patterns or words"
                raise TableError(f"{where}.{field}: {name!r} {told}")
    if UNSCANNED in policy.redact:
        raise TableError(f"{where}.redact: what cannot be scanned cannot be redacted")
