"""Adding up test results from JUnit files."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Skip:
    """A test that did not run, or was expected to fail, and the reason that it gave."""

    test: str
    reason: str

    def __str__(self) -> str:
        return f"{self.test} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tests passed and failed, and which were skipped."""

    passed: int = 0
    failed: int = 0
    skips: tuple[Skip, ...] = ()

    @property
    def total(self) -> int:
        """All tests that were found."""
        return self.passed + self.failed + len(self.skips)

    def __add__(self, other: "Tally") -> "Tally":
        skips = self.skips + other.skips
        return Tally(self.passed + other.passed, self.failed + other.failed, skips)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {len(self.skips)} skipped"


def read_junit(path: Path) -> Tally:
    """Count the tests of a JUnit file; nothing if there is none.

    An error in a fixture counts as a failure. A test that fails and whose fixture then fails too
    stands there as two cases of one name: that is one failure.
    """
    if not path.is_file():
        return Tally()
    root = ET.parse(path).getroot()  # noqa: S314  written by our own pytest
    outcomes: dict[str, Tally] = {}
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = _outcome(name, case)
        if outcome.failed or name not in outcomes:
            outcomes[name] = outcome
    return sum(outcomes.values(), Tally())


def _outcome(name: str, case: ET.Element) -> Tally:
    if case.find("failure") is not None or case.find("error") is not None:
        return Tally(failed=1)
    skipped = case.find("skipped")
    if skipped is not None:
        return Tally(skips=(Skip(name, skipped.get("message") or "no reason given"),))
    return Tally(passed=1)
