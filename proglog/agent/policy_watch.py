"""Which access rules are in force: the generation that was taken, the one that the files hold, and why the two differ.

A generation is a version of the two files, counted from the start of the agent: the first is 1. One that was refused has a
number too, so that *3 is wanted, 2 is in force* can be said.
"""

import time
from collections.abc import Callable
from pathlib import Path

from proglog.security.authorizer import CasbinAuthorizer
from proglog.security.files import FileVersion, file_version
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.wire.model import PolicyStatus


class PolicyWatch:
    """Loads the rules, and follows what becomes of their files."""

    def __init__(
        self, model_file: Path, policy_file: Path, emit: Emit, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Load them.

        Args:
            model_file: Casbin's model.
            policy_file: The rules.
            emit: Reports their changes.
            monotonic: Seconds.

        Raises:
            ConfigError: The files are not good.
        """
        self._files = model_file, policy_file
        self._emit = emit
        self._monotonic = monotonic
        self._wanted = self._taken = 1
        self._taken_at = monotonic()
        self._seen = self._in_force = self._look()
        self._refused, self._refused_at = "", 0.0
        self.authorizer = CasbinAuthorizer(
            model_file, policy_file, on_error=self._failed, on_reload=self._took, clock=monotonic
        )

    def status(self) -> PolicyStatus:
        """Return which rules are in force, after a look at the files, at most once a second."""
        self.authorizer.maybe_reload()
        now = self._monotonic()
        return PolicyStatus(
            generation=self._taken,
            wanted=self._wanted,
            rules=self.authorizer.rule_count,
            age_ms=int((now - self._taken_at) * 1000),
            refused=self._refused,
            refused_ms=int((now - self._refused_at) * 1000) if self._refused else 0,
        )

    def _took(self, rule_count: int) -> None:
        self._note_files()
        self._in_force, self._taken = self._seen, self._wanted
        self._taken_at, self._refused = self._monotonic(), ""
        self._emit(events.POLICY_RELOADED, "", f"{rule_count} rules")

    def _failed(self, reason: str) -> None:
        """Files were refused, or a rule in force failed: then they are what they were."""
        self._note_files()
        if self._seen == self._in_force:
            self._emit(events.POLICY_FAILED, "", reason)
            return
        if not self._refused:
            self._refused_at = self._monotonic()
        self._refused = reason
        self._emit(events.POLICY_REJECTED, "", reason)

    def _note_files(self) -> None:
        """Number what the files hold, if it is not what they held before."""
        before, self._seen = self._seen, self._look()
        self._wanted += self._seen != before

    def _look(self) -> tuple[FileVersion, ...]:
        return tuple(map(file_version, self._files))
