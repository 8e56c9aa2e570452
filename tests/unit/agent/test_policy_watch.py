"""Which access rules are in force, and why the ones that the files hold are not."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proglog.agent.policy_watch import PolicyWatch
from proglog.errors import PermissionDeniedError
from proglog.security.devrules import create_rules
from proglog.telemetry.emit import emitter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, Path]:
    made = create_rules(tmp_path, {"root": ["produce"]})
    return made.model, made.policy


def write(path: Path, text: str) -> None:
    """Replace a file, as an operator's editor does."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def test_a_generation_is_wanted_until_it_is_in_force(rules: tuple[Path, Path]) -> None:
    clock, good = Clock(), rules[1].read_text()
    watch = PolicyWatch(*rules, emitter(), clock)
    assert (watch.status().generation, watch.status().wanted, watch.status().refused) == (1, 1, "")

    write(rules[1], "p, root, *\n")
    clock.now += 10
    watch.status()
    clock.now += 5
    held = watch.status()
    assert (held.generation, held.wanted, held.age_ms, held.refused_ms) == (1, 2, 15_000, 5_000)
    assert "line 1: 'p, root, *' does not fit the model" in held.refused

    write(rules[1], good + "p, ann, *, consume\n")
    clock.now += 10
    held = watch.status()
    assert (held.generation, held.wanted, held.age_ms, held.refused, held.refused_ms) == (3, 3, 0, "", 0)
    assert held.rules == good.count("\np,") + good.startswith("p,") + 1


def test_a_rule_that_cannot_be_evaluated_is_no_refused_file(rules: tuple[Path, Path]) -> None:
    head, matchers, _ = rules[0].read_text().partition("[matchers]")
    write(rules[0], f"{head}{matchers}\nm = r.sub == '' || r.sub[9] == 'x'\n")
    watch = PolicyWatch(*rules, emitter(), Clock())
    with capture_logs() as logs, pytest.raises(PermissionDeniedError):
        watch.authorizer.authorize("root", "*", "produce")
    assert {log["event"] for log in logs} == {"policy_failed"}
    assert (watch.status().wanted, watch.status().refused) == (1, "")
