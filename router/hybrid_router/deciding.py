"""From a request to its decision, by the router and by `hinf route` alike.

What differs between them is the `Judge`: the router asks its classifier and knows its replicas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hybrid_router.classify.loop import tokens_at_turn
from hybrid_router.classify.prompt import Prompt
from hybrid_router.core import cascade
from hybrid_router.core.decision import (
    NOT_JUDGED,
    Needs,
    Reason,
    Verdict,
    candidates,
    decide,
    worth_judging,
)
from hybrid_router.core.terms import Asked, by_length, terms
from hybrid_router.openai.body import invalid
from hybrid_router.openai.draft import undraftable
from hybrid_router.translate.surfaces import reachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from hybrid_router.core.decision import Decision
    from hybrid_router.openai.request import Call
    from hybrid_router.table import Model, Policy, RouteTable, Target

PREFERRED: Final = Verdict(None, None, "none")
"""Where a rule names the side, nobody is asked."""


class Judge(Protocol):
    """What a decision rests on besides the table and the request."""

    def threshold(self, policy: Policy) -> float:
        """Return the confidence from which the local model is asked first."""
        ...

    def invites(self, backend: str) -> bool:
        """Return whether a backend would take a request now that may go elsewhere, too."""
        ...

    def judge(self, model: Model, call: Call, asker: str) -> Awaitable[Verdict | None]:
        """Return the verdict on a request of the client key `asker`; None where nobody judges.

        `model` is what the name that was asked for leads to: what is known of it counts.
        """
        ...


def looked_at(policy: Policy, call: Call, key: str | None, headers: Mapping[bytes, bytes]) -> Asked:
    """Return what rules look at: of a request of the client key `key`, with these headers."""
    tokens = tokens_at_turn(call) if by_length(policy) else call.prompt_tokens
    return Asked(call.model, key, tokens, headers)


async def order(
    table: RouteTable, model: Model, call: Call, asked: Asked, kept: str | None, judge: Judge
) -> Decision:
    """Order what can answer a request.

    Args:
        table: in force.
        model: what the name that the client asked for leads to.
        call: the request.
        asked: what rules look at.
        kept: why the request must stay inside the cluster; None where it may leave.
        judge: judges it, where the decision rests on that.

    Raises:
        Refused: nothing may or can answer.
        ApiError: the request is at fault.
    """
    targets = candidates(table, model, _needs(model, call), kept)
    targets = reachable(call, targets, table.backends)
    if call.kind == "embeddings":
        targets = _one_model(model, targets)
    if model.classified and call.kind != "count_tokens":
        made = await _classified(table, model, targets, call, asked, judge)
    else:
        found = terms(table.policy, asked) if table.policy.rules else None
        made = decide(table.policy, targets, table.backends, None, judge.invites, found)
    if kept is None:
        return made
    return msgspec.structs.replace(made, reason=Reason.DATA_POLICY)


async def _classified(
    table: RouteTable,
    model: Model,
    targets: tuple[Target, ...],
    call: Call,
    asked: Asked,
    judge: Judge,
) -> Decision:
    policy, backends = table.policy, table.backends
    found = terms(policy, asked, judge.threshold(policy))
    if not worth_judging(model, targets, backends):
        verdict: Verdict | None = NOT_JUDGED
    elif found.prefer is not None:
        verdict = PREFERRED
    else:
        verdict = await judge.judge(model, call, asked.key or "")
    made = decide(policy, targets, backends, verdict, judge.invites, found)
    if policy.classifier.type != cascade.NAME:
        return made
    why = undraftable(call)
    if why is not None:
        return msgspec.structs.replace(made, undrafted=why)
    return cascade.drafted(made, policy, backends, found, judge.invites)


def prompt(call: Call) -> Prompt:
    """Return the judged part of a request.

    Raises:
        ApiError: its messages are not a list of objects.
    """
    if call.kind == "completions":
        return Prompt.from_text(call.text())
    return Prompt.from_messages(call.messages())


def _needs(model: Model, call: Call) -> Needs:
    """Return what the request needs, as far as this model's targets set limits at all."""
    for target in model.targets:
        if target.lacks:
            return Needs(call.asked_tokens, call.capabilities())
    return Needs(call.asked_tokens)


def _one_model(model: Model, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the targets that embed alike: vectors of different models cannot be compared."""
    if model.classified:
        raise invalid("model", "embeddings need a model's own name, not one that is decided on")
    return tuple(target for target in targets if target.model == targets[0].model)
