"""Who may do what: Casbin rules, asked once per question and policy generation.

::

    authorize(subject, object, action)
        |  at most once a second: have the files changed?
        |        yes, and good     -> new rules, generation + 1, no decision remembered
        |        yes, but not good -> the last good rules stay, on_error is called once
        v
    remembered decision, or else Casbin's

Casbin walks all rules and evaluates the matcher for each: 29 us for 2 rules, 1.8 ms for 1,000 (measured). So a decision
is remembered until the rules change, and who serves a stream asks again when :attr:`Authorizer.generation` moves.

An action that no rule names is granted as :mod:`proglog.security.actions` says.

Everything doubtful denies: rules that fail while they are evaluated deny, a file without rules is refused rather than
read as "everybody" or "nobody", and a line that Casbin would skip in silence is refused too.

Model and policy are Casbin's own formats, https://casbin.org/docs/syntax-for-models: the book's files work unchanged.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from proglog.errors import ConfigError, PermissionDeniedError
from proglog.security.actions import ACTIONS, INCLUDED_IN
from proglog.security.files import FileVersion, Watched, file_version, read_bounded

MAX_POLICY_BYTES = 16 << 20
CHECK_INTERVAL = 1.0
"""Seconds between two looks at the files."""
MAX_REMEMBERED = 10_000
"""Decisions; beyond, all are forgotten, so that many subjects cost time but no memory."""

_PROBE = ("", "", "")


class Authorizer(Protocol):
    """Decides what a subject may do. For one thread."""

    @property
    def generation(self) -> int:
        """Grows when earlier decisions may no longer hold: an open stream then asks again."""

    def reload(self) -> None:
        """Look at the files now, whenever it is time to."""

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Return if ``subject`` may do ``action`` to ``object_``.

        Raises:
            PermissionDeniedError: It may not.
        """


class AllowAll:
    """Of an agent without rules: everyone may do everything, of those whom TLS let in."""

    generation = 0
    """Never changes."""

    def reload(self) -> None:
        """Return: there are no files."""

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Return."""


class CasbinAuthorizer:
    """Rules from a Casbin model and policy file, followed while they change.

    Attributes:
        evaluations: How often Casbin was asked: what was not remembered.
        rule_count: Lines of the policy in use.
    """

    def __init__(
        self,
        model_file: Path,
        policy_file: Path,
        *,
        on_error: Callable[[str], None] = lambda _: None,
        on_reload: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the rules.

        Args:
            model_file: Casbin model of requests ``sub, obj, act``.
            policy_file: Rules, one a line.
            on_error: Told why changed files were refused, or a rule failed.
            on_reload: Told how many rules were taken.
            clock: Monotonic seconds.

        Raises:
            ConfigError: The files are not good; names the file, the line, and what was expected.
        """
        self._model_file = model_file
        self._policy_file = policy_file
        self._on_error = on_error
        self._on_reload = on_reload
        self._clock = clock
        self._watched = Watched(self._versions(), clock)  # before reading: a change meanwhile is seen the next time
        self._next_check = clock() + CHECK_INTERVAL
        self._decisions: dict[tuple[str, str, str], bool] = {}
        self._generation = 1
        self.evaluations = 0
        self._enforcer, self.rule_count = _load(model_file, policy_file)
        self._named = _words(self._enforcer)

    @property
    def generation(self) -> int:
        """Grows with each policy taken; asking looks at the files, at most once a second."""
        self.maybe_reload()
        return self._generation

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Return if a rule lets ``subject`` do ``action`` to ``object_``.

        Raises:
            PermissionDeniedError: None does.
        """
        self.maybe_reload()
        question = (subject, object_, action)
        allowed = self._decisions.get(question)
        if allowed is None:
            allowed = self._evaluate(question) or self._included(question)
            if len(self._decisions) >= MAX_REMEMBERED:
                self._decisions.clear()
            self._decisions[question] = allowed
        if not allowed:
            raise PermissionDeniedError(subject, action, object_)

    def subjects(self) -> list[str]:
        """Return who the rules name, sorted; roles among them."""
        return sorted(set(self._enforcer.get_all_subjects()))

    def unknown_actions(self) -> list[str]:
        """Return the words that stand where actions do and are none, sorted: usually a slip of the pen."""
        actions = {word for word in self._enforcer.get_all_actions() if word.isidentifier()}
        return sorted(actions - set(ACTIONS))

    def maybe_reload(self, now: float | None = None) -> bool:
        """Take changed files if it is time to look again; return whether new rules are in use.

        Args:
            now: On the ``clock``; ``None`` asks it.
        """
        moment = self._clock() if now is None else now
        if moment < self._next_check:
            return False
        self._next_check = moment + CHECK_INTERVAL
        versions = self._versions()
        return self._watched.is_due(versions) and self._reload(versions)

    def reload(self) -> None:
        """Look at the files now, also at those that were refused."""
        self._watched.retry()
        self._next_check = self._clock()
        self.maybe_reload()

    def _reload(self, versions: tuple[FileVersion, ...]) -> bool:
        try:
            enforcer, rule_count = _load(self._model_file, self._policy_file)
        except ConfigError as exc:
            if self._watched.refuse(versions, str(exc)):
                self._on_error(f"{exc}; the {self.rule_count} rules loaded before stay in force")
            return False
        self._watched.take(versions)
        self._enforcer, self.rule_count, self._named = enforcer, rule_count, _words(enforcer)
        self._decisions.clear()
        self._generation += 1
        self._on_reload(rule_count)
        return True

    def _evaluate(self, question: tuple[str, str, str]) -> bool:
        self.evaluations += 1
        try:
            return bool(self._enforcer.enforce(*question))
        except Exception as exc:  # noqa: BLE001 - a matcher can fail in any way, and whatever fails must deny
            self._on_error(f"{self._model_file} fails for {question!r}: {_describe(exc)}; denied")
            return False

    def _included(self, question: tuple[str, str, str]) -> bool:
        subject, object_, action = question
        granting = INCLUDED_IN.get(action, ())
        if not granting or action in self._named:
            return False
        return all(self._evaluate((subject, object_, each)) for each in granting)

    def _versions(self) -> tuple[FileVersion, FileVersion]:
        return file_version(self._model_file), file_version(self._policy_file)


def _load(model_file: Path, policy_file: Path) -> tuple[Any, int]:
    """Return a Casbin enforcer that has answered one question, and how many rules it has."""
    import casbin
    from casbin.persist.adapters import StringAdapter

    _silence_casbin()
    model = _parse_model(_read_text(model_file), model_file)
    rules = _rules_of(_read_text(policy_file), policy_file, model)
    try:
        enforcer = casbin.Enforcer(model, StringAdapter("\n".join(rules)))
        enforcer.enforce(*_PROBE)
    except Exception as exc:
        raise ConfigError(f"{model_file} and {policy_file} do not work together: {_describe(exc)}") from exc
    return enforcer, len(rules)


def _words(enforcer: Any) -> set[str]:
    """Return every field of every rule: an action among them is named."""
    return {word for rule in enforcer.get_policy() for word in rule}


def _parse_model(text: str, model_file: Path) -> Any:
    import casbin

    model = casbin.Model()
    try:
        model.load_model_from_text(text)
    except Exception as exc:
        raise ConfigError(f"{model_file} is not a Casbin model: {_describe(exc)}") from exc
    for section, name in model.section_name_map.items():
        if section != "g" and section not in (model[section] or {}):
            raise ConfigError(f"{model_file} has no '{section} = ...' under [{name}]: expected a Casbin model")
    if len(model["r"]["r"].tokens) != len(_PROBE):
        raise ConfigError(f"{model_file} describes requests {model['r']['r'].value!r}: expected 'r = sub, obj, act'")
    return model


def _rules_of(text: str, policy_file: Path, model: Any) -> list[str]:
    """Return the lines of ``text`` that are rules, all of which Casbin will use.

    Raises:
        ConfigError: A line that Casbin would skip or trip over, or no rules at all.
    """
    lines = [line.strip() for line in text.split("\n")]
    rules = []
    for number, line in enumerate(lines, start=1):
        if line and not line.startswith("#"):
            _check_rule(line, f"{policy_file} line {number}", model)
            rules.append(line)
    if not any(rule.startswith("p") for rule in rules):
        raise ConfigError(f"{policy_file} has no rules: expected lines such as 'p, root, *, produce'")
    return rules


def _check_rule(line: str, place: str, model: Any) -> None:
    from casbin.persist.adapter import load_policy_line

    kind = line.split(",", 1)[0].strip()
    definition = (model[kind[:1]] or {}).get(kind) if kind[:1] in ("p", "g") else None
    if definition is None:
        raise ConfigError(f"{place}: {kind!r} is no kind of rule in the model; expected 'p, ...'")
    expected = [token.removeprefix(f"{kind}_").strip() for token in definition.tokens]
    try:
        load_policy_line(line, model)  # Casbin's own reading of the line; taken out again, it is loaded later
        fields = definition.policy.pop()
    except IndexError:  # a bracket that was never opened
        fields = []
    if len(fields) != len(expected) or not all(fields):
        raise ConfigError(f"{place}: {line!r} does not fit the model; expected '{kind}, {', '.join(expected)}'")


def _read_text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_POLICY_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 text (byte {exc.start}): write it as UTF-8") from exc


def _silence_casbin() -> None:
    """Stop Casbin from writing each question, with its subject, to the root logger."""
    logger = logging.getLogger("casbin")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False


def _describe(exc: Exception) -> str:
    """Return one line: Casbin's errors may have several, or none."""
    return " ".join(str(exc).split())[:200] or type(exc).__name__
