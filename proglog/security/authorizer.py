"""What a subject may do: Casbin over the book's model and policy files, which work unchanged.

A Casbin decision costs 30 us with two rules and 2 ms with a thousand, so decisions are remembered for as long as the
policy stays: one *generation*. The files are looked at once a second; a policy that does not load, or allows nobody
anything, is rejected and the last good one stays.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from proglog.errors import ConfigError, PermissionDeniedError

RELOAD_INTERVAL = 1.0
"""Seconds between two looks at the files."""
MAX_REMEMBERED = 10_000
"""Decisions; beyond, all are forgotten: a caller cannot fill the memory with names."""


class Authorizer(Protocol):
    """Decides who may do what."""

    @property
    def generation(self) -> int:
        """Grows when decisions may have changed: open streams ask again then."""
        ...

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Return if ``subject`` may do ``action`` to ``object_``.

        Raises:
            PermissionDeniedError: It may not.
        """
        ...


class AllowAll:
    """For an agent without rules."""

    generation = 0

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Return: everybody may do everything."""


class CasbinAuthorizer:
    """Rules out of a model file and a policy file. The only place that knows Casbin."""

    def __init__(
        self,
        model_file: Path,
        policy_file: Path,
        *,
        on_error: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the rules.

        Args:
            model_file: Casbin's model.
            policy_file: Casbin's policy, CSV; reloaded when it changes.
            on_error: Called with a sentence when a changed policy is rejected.
            clock: Monotonic seconds.

        Raises:
            ConfigError: A file cannot be read, or does not parse.
        """
        self._model_file = model_file
        self._policy_file = policy_file
        self._on_error = on_error
        self._clock = clock
        self._generation = 0
        self._decisions: dict[tuple[str, str, str], bool] = {}
        self._stamp = self._read_stamp()
        self._enforcer = self._load()
        self._next_look = clock() + RELOAD_INTERVAL

    @property
    def generation(self) -> int:
        """Grows with every policy that is taken over."""
        self.maybe_reload()
        return self._generation

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """As :meth:`Authorizer.authorize`."""
        self.maybe_reload()
        question = (subject, object_, action)
        allowed = self._decisions.get(question)
        if allowed is None:
            if len(self._decisions) >= MAX_REMEMBERED:
                self._decisions.clear()
            allowed = self._decisions[question] = bool(self._enforcer.enforce(subject, object_, action))
        if not allowed:
            raise PermissionDeniedError(subject, action, object_)

    def maybe_reload(self) -> None:
        """Take over a changed policy, if it is time to look and the policy is good."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + RELOAD_INTERVAL
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._enforcer = self._load()
        except ConfigError as exc:
            self._on_error(f"{exc}; the rules before stay in force")
            return
        self._decisions.clear()
        self._generation += 1

    def _read_stamp(self) -> tuple[int, int]:
        try:
            stat = self._policy_file.stat()
        except OSError:  # gone for a moment, or for good: loading says which
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_size)

    def _load(self) -> Any:
        import casbin

        logging.getLogger("casbin").setLevel(logging.CRITICAL)  # it tells every decision to the root logger
        for flag, path in (("--acl-model-file", self._model_file), ("--acl-policy-file", self._policy_file)):
            try:
                path.read_bytes()
            except OSError as exc:
                raise ConfigError(f"{flag} {path}: {exc.strerror or exc}") from exc
        try:
            enforcer = casbin.Enforcer(str(self._model_file), str(self._policy_file), enable_log=False)
            rules = enforcer.get_policy()
            enforcer.enforce("", "", "")  # a model that cannot decide is found now, not by the first caller
        except Exception as exc:
            # Casbin raises plain exceptions of many kinds for files it cannot use.
            raise ConfigError(f"--acl-policy-file {self._policy_file} with model {self._model_file}: {exc}") from exc
        if not rules:
            raise ConfigError(
                f"--acl-policy-file {self._policy_file}: no rules; expected lines like `p, root, *, produce`"
            )
        return enforcer
