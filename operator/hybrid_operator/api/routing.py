"""`spec.routing` and `spec.budgets[]`: who answers which prompt, and for how much."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from hybrid_operator.api.base import (
    ATOMIC,
    MAP_BY_NAME,
    SET,
    USD,
    DNSLabel,
    Duration,
    Fraction,
    ModelName,
    ObjectName,
    Problem,
    Rule,
    Shape,
    Spec,
    TimeZone,
    rule,
)
from hybrid_operator.api.datapolicy import DataPolicy
from hybrid_operator.api.nearest import none_of
from hybrid_router.table import INTENTS

HEADER_NAME = Shape(
    "[a-z0-9]([-a-z0-9_]*[a-z0-9])?",
    "must be a header name in lower case: letters, digits, '-' and '_'",
)
SECRET_KEY = Shape(
    "[-._a-zA-Z0-9]+", "must be a key of a Secret: letters, digits, '-', '_' and '.'"
)
HEADER_VALUE = Shape("[ -~]*", "must be printable ASCII")

SecretKeyName = Annotated[str, Meta(max_length=253), SECRET_KEY]


class Classifier(Spec, frozen=True, kw_only=True):
    """What judges whether the local model is good enough for a prompt."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "!has(self.model) || (has(self.type) && self.type == 'slm')",
            "model is what type slm asks: set type to slm, or leave model out",
            lambda c: c.model is None or c.type == "slm",
        ),
        rule(
            "!has(self.draftTokens) || (has(self.type) && self.type == 'cascade')",
            "draftTokens are of type cascade: set type to cascade, or leave draftTokens out",
            lambda c: c.draft_tokens is None or c.type == "cascade",
        ),
    )

    type: Literal["embedded", "slm", "cascade", "none"] = "embedded"
    """embedded: features of the prompt, in the router. slm: a local model is asked whether the
    prompt is simple. cascade: the local model begins to answer, and the client gets that answer if
    its log-probabilities are sure enough, else the API's. none: aliases are answered in their
    order. Defaults to embedded."""
    model: DNSLabel | None = None
    """Local model that slm asks. Defaults to the first model."""
    timeout: Duration | None = None
    """A verdict that takes longer sends the prompt to the API; for cascade, how long a stream is
    held back. Defaults to 2s, for cascade to 10s."""
    draft_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    """Tokens of a draft that are judged; a stream is held back until so many are there. Defaults
    to 32."""


class ApiTarget(Spec, frozen=True, kw_only=True):
    """A provider's model."""

    provider: DNSLabel
    """Name of the provider."""
    model: ModelName
    """Name of its model, as in providers[].models[].name."""


class Alias(Spec, frozen=True, kw_only=True):
    """A name that leads to several models."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "(has(self.local) ? size(self.local) : 0) + (has(self.api) ? size(self.api) : 0) > 0",
            "needs at least one local model or one API model",
            lambda a: len(a.local) + len(a.api) > 0,
        ),
    )

    name: ModelName
    """Name that clients ask for. auto always exists: all models, then all providers' first
    models."""
    local: Annotated[list[DNSLabel], Meta(max_length=16, extra_json_schema=ATOMIC)] = []
    """Local models or LoRA adapters, best first."""
    api: Annotated[list[ApiTarget], Meta(max_length=16, extra_json_schema=ATOMIC)] = []
    """API models, best first."""


def _unknown_intent(intent: "Intent") -> Iterator[Problem]:
    if intent.name not in INTENTS:
        yield Problem("name", _INTENT_NAMES + none_of(intent.name, INTENTS))


_INTENT_NAMES = f"name must be an intent that the classifier knows: {', '.join(INTENTS)}"


class Intent(Spec, frozen=True, kw_only=True):
    """A kind of task with its own rule."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(f"self.name in {list(INTENTS)}", _INTENT_NAMES, _unknown_intent, ".name"),
        rule(
            "has(self.prefer) || has(self.threshold) || has(self.models)",
            "needs prefer, threshold or models",
            lambda i: i.prefer is not None or i.threshold is not None or bool(i.models),
        ),
    )

    name: DNSLabel
    """Intent that the classifier knows: text-to-sql, json-extraction, intent-routing,
    code-writing, debugging, maths, reasoning, summarising, translation, creative-writing,
    factual-question, chat, or unknown, where none is likely enough."""
    prefer: Literal["local", "api"] | None = None
    """Side that is asked first, whatever the confidence."""
    threshold: Fraction | None = None
    """Confidence from which the local model answers this intent. Defaults to routing.threshold."""
    models: Annotated[list[ModelName], Meta(max_length=16, extra_json_schema=ATOMIC)] = []
    """Local or API models that may answer this intent, where an alias is classified. Defaults to
    all of the alias."""


class HeaderMatch(Spec, frozen=True, kw_only=True):
    """A request header."""

    name: Annotated[str, Meta(max_length=64), HEADER_NAME]
    """Name, in lower case."""
    value: Annotated[str, Meta(max_length=256), HEADER_VALUE] | None = None
    """Exact value. Without it, the header must be there."""


class Match(Spec, frozen=True, kw_only=True):
    """What a request must look like; everything stated must hold."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "!has(self.minPromptTokens) || !has(self.maxPromptTokens)"
            " || self.minPromptTokens <= self.maxPromptTokens",
            "minPromptTokens must not be above maxPromptTokens",
            lambda m: (
                m.min_prompt_tokens is None
                or m.max_prompt_tokens is None
                or m.min_prompt_tokens <= m.max_prompt_tokens
            ),
        ),
    )

    aliases: Annotated[list[ModelName], Meta(max_length=16, extra_json_schema=SET)] = []
    """Names that clients ask for; one of them."""
    keys: Annotated[list[SecretKeyName], Meta(max_length=64, extra_json_schema=SET)] = []
    """Client keys, by their names in router.clientKeys; one of them."""
    headers: Annotated[list[HeaderMatch], Meta(max_length=8, extra_json_schema=MAP_BY_NAME)] = []
    """Request headers; all of them."""
    min_prompt_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    """Shortest prompt up to what the user said last, in estimated tokens."""
    max_prompt_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    """Longest prompt up to what the user said last, in estimated tokens."""


class RoutingRule(Spec, frozen=True, kw_only=True):
    """A rule for requests of a kind. Rules are looked at in order, the first match counts."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "has(self.prefer) || has(self.threshold) || has(self.models)",
            "needs prefer, threshold or models",
            lambda r: r.prefer is not None or r.threshold is not None or bool(r.models),
        ),
    )

    name: DNSLabel
    """Name of the rule, as shown in x-hybrid-rule and metrics."""
    match: Match = field(default_factory=Match)
    """What requests it holds for. Defaults to all."""
    prefer: Literal["local", "api"] | None = None
    """Side that is asked first, whatever the confidence."""
    threshold: Fraction | None = None
    """Confidence from which the local model answers, whatever the intent."""
    models: Annotated[list[ModelName], Meta(max_length=16, extra_json_schema=ATOMIC)] = []
    """Local or API models that may answer, whatever name the client asks for: a request for
    another is refused with 403. Defaults to all."""


class CalibrationSource(Spec, frozen=True, kw_only=True):
    """Where the calibration state is."""

    config_map: ObjectName
    """ConfigMap of this namespace, as hinf classifier apply writes it."""


class Comparison(Spec, frozen=True, kw_only=True):
    """A share of requests is answered by both sides, and a stronger model judges the answers."""

    judge: ApiTarget
    """Model that judges."""
    share: Fraction
    """Share of classified requests that is compared, such as "0.01"."""
    usd_per_day: USD = field(name="usdPerDay")
    """Most that comparisons cost in a day, over all routers, in US dollars."""


class Breaker(Spec, frozen=True, kw_only=True):
    """Circuit breaker of one replica."""

    failures: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Failures in a row that open it. Defaults to 5."""
    cooldown: Duration | None = None
    """Time until it is probed again. Defaults to 10s."""


class Failover(Spec, frozen=True, kw_only=True):
    """How hard a request is tried before anything generated has reached the client."""

    deadline: Duration | None = None
    """Time to the first generated token, over all attempts. Defaults to 60s."""
    attempts: Annotated[int, Meta(ge=1, le=10)] | None = None
    """Most attempts per request. Defaults to 3."""
    breaker: Breaker | None = None
    """When a replica is left alone."""
    resume: bool | None = None
    """Whether a local stream whose replica dies goes on at another one. Defaults to true."""


class Routing(Spec, frozen=True, kw_only=True):
    """Who answers which prompt."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "(has(self.threshold) ? 1 : 0) + (has(self.quality) ? 1 : 0)"
            " + (has(self.share) ? 1 : 0) <= 1",
            "set one of threshold, quality and share",
            lambda r: sum(x is not None for x in (r.threshold, r.quality, r.share)) <= 1,
        ),
        rule(
            "!has(self.quality) || self.quality.matches('[1-9]')",
            'quality must be above 0; to keep everything local, set share to "1"',
            lambda r: r.quality is None or r.quality.strip("0.") != "",
        ),
    )

    classifier: Classifier = field(default_factory=Classifier)
    """What judges a prompt."""
    threshold: Fraction | None = None
    """Confidence from which the local model answers. Defaults to "0.85"."""
    quality: Fraction | None = None
    """Instead of threshold: as much is local as keeps this share of the API's quality."""
    share: Fraction | None = None
    """Instead of threshold: this share of requests is answered locally, the surest ones."""
    aliases: Annotated[list[Alias], Meta(max_length=16, extra_json_schema=MAP_BY_NAME)] = []
    """Names that lead to several models."""
    intents: Annotated[list[Intent], Meta(max_length=32, extra_json_schema=MAP_BY_NAME)] = []
    """Kinds of tasks with rules of their own."""
    rules: Annotated[list[RoutingRule], Meta(max_length=32, extra_json_schema=MAP_BY_NAME)] = []
    """Rules on names, keys, headers and length, in order; the first match counts."""
    shadow: Literal["local", "api"] | None = None
    """Asks this side first for every classified request, and only records the decisions."""
    calibration: CalibrationSource | None = None
    """What outcomes say of the classifier's confidences. Without it, they stay as shipped."""
    comparison: Comparison | None = None
    """Compares both sides now and then, after the client has its answer. Without it, never."""
    failover: Failover | None = None
    """How hard a request is tried."""
    prefix_affinity: bool | None = None
    """Whether requests that begin alike go to the same replica. Defaults to true."""
    data_policy: DataPolicy | None = None
    """Classes of data that never leave the cluster, are redacted or refused."""


class Budget(Spec, frozen=True, kw_only=True):
    """A limit on what the API may cost. No effect yet: nothing is counted or refused by it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        rule(
            "self.limitUSD.matches('[1-9]')",
            "limitUSD must be above 0; to use no API at all, leave providers out",
            lambda b: b.limit_usd.strip("0.") != "",
        ),
    )

    name: DNSLabel
    """Name of the budget."""
    period: Literal["day", "week", "month"]
    """When it starts anew."""
    time_zone: TimeZone | None = None
    """IANA time zone of the period, such as Europe/Berlin. Defaults to UTC."""
    scope: Literal["total", "clientKey"] = "total"
    """Whether all clients share it or each client key has its own. Defaults to total."""
    limit_usd: USD = field(name="limitUSD")
    """Limit in US dollars."""
    on_exhausted: Literal["LocalOnly", "Reject", "Warn"] = "LocalOnly"
    """What happens when it is used up. Defaults to LocalOnly."""
