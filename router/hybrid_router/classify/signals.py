"""What the embedded classifier knows: one table of words, with weights set by hand."""

from __future__ import annotations

from dataclasses import dataclass

INTENTS = (
    "json-extraction", "intent-routing", "text-to-sql", "code-writing", "debugging", "maths",
    "reasoning", "summarizing", "translation", "creative-writing", "factual-question", "chat",
    "unknown",
)  # fmt: skip
"""Every intent that it names."""

NAMED = {"translation": 0.7, "summarizing": 0.6}
"""Tasks whose verb says much of the intent and little of the difficulty: added to their vote."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A group of words that speak for one thing.

    `weight` counts for each different word of the group that is there, `most` times at most. A
    phrase is several words, or a mark with no letters.
    """

    weight: float
    intent: str | None
    words: str
    phrases: tuple[str, ...] = ()
    most: int = 1


SIGNALS = (
    # Pulling fields out of a text: what small models are tuned for (and beat large ones at).
    Signal(
        1.2,
        "json-extraction",
        "extract parse pull fields field entities entity invoice json csv yaml",
        phrases=("key-value", "return only", "as a list"),
        most=2,
    ),
    # Choosing one label of a few; one token of output.
    Signal(
        1.2,
        "intent-routing",
        "classify categorize categorise label sentiment spam route intent tag triage positive",
        phrases=(
            "which category",
            "which team",
            "which queue",
            "yes or no",
            "true or false",
            "one word",
            "one of:",
        ),
        most=2,
    ),
    # A query for a given schema: fine-tuned small models come close to the API.
    Signal(
        0.6,
        "text-to-sql",
        "sql postgres mysql sqlite",
        phrases=("select ", "into sql", "sql query"),
    ),
    # Looking over a text for surface faults.
    Signal(
        0.7,
        None,
        "grammar spelling typo typos punctuation syntax lowercase uppercase capitalize reformat",
        phrases=("fix the spelling", "is this valid", "valid json"),
    ),
    # A question with one short answer.
    Signal(
        0.6,
        "factual-question",
        "who when where define capital meaning synonym abbreviation",
        phrases=(
            "what is ",
            "what are ",
            "what does ",
            "what time",
            "how many ",
            "how much ",
            "which year",
            "stand for",
        ),
    ),
    # Greetings and thanks.
    Signal(
        0.8,
        "chat",
        "hi hello hey thanks bye",
        phrases=("thank you", "good morning", "how are you"),
    ),
    # Summaries: easy to do, hard to do well; the length of the text says more.
    Signal(
        0.1,
        "summarizing",
        "summarize summarise summary tldr shorten headline",
        phrases=("tl;dr", "in one sentence", "key points"),
    ),
    # Translating a phrase is easy; the next group says when it is not.
    Signal(
        -0.2,
        "translation",
        "translate translation",
        phrases=("into english", "into french", "into german"),
    ),
    # Translation that hangs on context, tone and culture.
    Signal(
        -0.8,
        "translation",
        (
            "idiom idioms idiomatic nuance nuances nuanced literary connotation connotations "
            "wordplay pun puns rhyme tone register cultural culturally localize localise poetic "
            "dialect"
        ),
        phrases=("preserving the", "preserve the", "keeping the tone"),
        most=3,
    ),
    # Proofs and higher maths: many steps, each of which can fail.
    Signal(
        -1.2,
        "maths",
        (
            "prove proof theorem lemma corollary induction contradiction integral integrate "
            "derivative differentiate eigenvalue eigenvalues matrix polynomial converge "
            "converges convergence irrational probability combinatorics equation equations "
            "modulo prime primes geometry"
        ),
        phrases=(
            "\\frac",
            "\\int",
            "\\sum",
            "\\lim",
            "$$",
            "∑",
            "∫",
            "√",
            "∀",
            "∃",
            "≤",
            "closed form",
        ),
        most=3,
    ),
    # Several steps asked for in so many words.
    Signal(
        -0.7,
        "reasoning",
        (
            "derive deduce infer justify critique evaluate analyse analyze assess compare "
            "contrast strategy optimize optimise optimal implications puzzle logic forecast "
            "prioritize prioritise"
        ),
        phrases=(
            "step by step",
            "step-by-step",
            "trade-off",
            "tradeoff",
            "pros and cons",
            "root cause",
            "explain why",
            "reason about",
            "think carefully",
            "in detail",
            "show your work",
            "show all",
        ),
        most=3,
    ),
    # System design: open questions with many right answers and more wrong ones.
    Signal(
        -1.0,
        "reasoning",
        (
            "design architect architecture architectural scalable scalability distributed "
            "microservice microservices fault-tolerant multi-region sharding consensus "
            "consistency throughput migration blueprint roadmap"
        ),
        phrases=(
            "high availability",
            "system that",
            "million users",
            "million requests",
            "per second",
            "event-driven",
            "disaster recovery",
        ),
        most=3,
    ),
    # Writing code, beyond a line.
    Signal(
        -0.5,
        "code-writing",
        (
            "implement refactor algorithm function class unittest api backend frontend "
            "concurrency thread-safe async compiler parser"
        ),
        phrases=(
            "write a program",
            "write a script",
            "unit test",
            "time complexity",
            "from scratch",
            "production-ready",
        ),
        most=3,
    ),
    # Finding what is wrong with code: the task where small models trail most.
    Signal(
        -0.8,
        "debugging",
        "debug bug traceback stacktrace segfault deadlock race exception leak crashes",
        phrases=("stack trace", "does not work", "doesn't work", "why does this", "error:"),
        most=2,
    ),
    # Long-form writing.
    Signal(
        -1.0,
        "creative-writing",
        (
            "story poem essay novel novella screenplay chapter lyrics sonnet haiku fiction "
            "monologue dialogue speech protagonist ballad villanelle plot"
        ),
        phrases=(
            "blog post",
            "short story",
            "write a tale",
            "world-building",
            "in the style of",
            "-word",
        ),
        most=3,
    ),
    # Advice in fields where a wrong answer costs.
    Signal(
        -0.6,
        "reasoning",
        "legal contract clause diagnosis liability compliance regulatory gdpr tax differential",
        phrases=("legal opinion",),
        most=2,
    ),
)
"""The whole knowledge of this classifier."""
