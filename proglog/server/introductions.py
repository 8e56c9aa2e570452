"""Which peers are proved: the process that answers at a member's address is the one that calls here under its name.

A name in a hello is a claim. A certificate proves a subject, an address that gossip names proves nothing, and agents
show one certificate as servers and another as clients. So each stream carries a token that its source has to hand back
on a stream of its own::

    this node                                                             member b, at the address that gossip gives
      replicator   --- hello: this node's name, token T ----------------->  its server
      its server   <-- hello: "b" ... then: token T ---------------------  b's replicator

Only the process at b's address knows T; a stream that brings it has passed this node's own door, with a certificate
whose subject may replicate. So b's reports count as b's, and b's batches come from a subject that the rules allow.
The proof lasts as long as the stream that carried T, and no longer than the subject's right.

An agent without rules believes a member's name, and only a member's.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proglog.errors import PermissionDeniedError, UnavailableError
from proglog.security.actions import REPLICATE
from proglog.security.authorizer import AllowAll, Authorizer

TOKEN_BYTES = 16
MAX_CALLERS = 4
"""Streams of one name whose tokens are handed back: the real one, and those that it has just replaced."""


@dataclass(eq=False, slots=True)
class Caller:
    """A stream opened under a member's name."""

    name: str
    subject: str
    token: bytes
    """What is handed back to the member of that name."""
    on_proved: Callable[[], None]
    shown: set[bytes] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class _Dialled:
    """The stream to a member."""

    token: bytes
    hand_back: Callable[[bytes], None]
    proved: asyncio.Event = field(default_factory=asyncio.Event)
    subject: str = ""


class Introductions:
    """Shared by the replicator, which dials members, and the service, which they call. For one event loop."""

    def __init__(self, authorizer: Authorizer | None = None) -> None:
        """Prove peers if ``authorizer`` has rules; ``None``: there is no membership, and every caller is believed."""
        self._authorizer = authorizer or AllowAll()
        self._proof_needed = not isinstance(self._authorizer, AllowAll)
        self._everybody = authorizer is None
        self._members: set[str] = set()
        self._dialled: dict[str, _Dialled] = {}
        self._callers: dict[str, list[Caller]] = {}

    def joined(self, name: str) -> None:
        """A member lives, and is dialled."""
        self._members.add(name)
        if not self._proof_needed:
            self._tell_callers(name)

    def left(self, name: str) -> None:
        """A member lives no more."""
        self._members.discard(name)

    @contextmanager
    def dialling(self, name: str, hand_back: Callable[[bytes], None]) -> Iterator[bytes]:
        """Yield the token for a stream to a member; ``hand_back`` sends one down it, at once for those known already."""
        dialled = _Dialled(secrets.token_bytes(TOKEN_BYTES), hand_back)
        self._dialled[name] = dialled
        for caller in self._callers.get(name, ()):
            hand_back(caller.token)
        try:
            yield dialled.token
        finally:
            if self._dialled.get(name) is dialled:
                del self._dialled[name]

    @contextmanager
    def calling(self, name: str, subject: str, token: bytes, on_proved: Callable[[], None]) -> Iterator[Caller]:
        """Register a stream that calls itself ``name``, while this lasts; ``on_proved`` is called once that is proved."""
        caller = Caller(name, subject, token[:TOKEN_BYTES], on_proved)
        callers = self._callers.setdefault(name, [])
        callers.append(caller)
        del callers[:-MAX_CALLERS]
        if name in self._dialled:
            self._dialled[name].hand_back(caller.token)
        try:
            yield caller
        finally:
            if caller in callers:
                callers.remove(caller)
            if not callers and self._callers.get(name) is callers:
                del self._callers[name]

    def show(self, caller: Caller, token: bytes) -> None:
        """``caller`` hands back a token."""
        dialled = self._dialled.get(caller.name)
        if dialled is None or not secrets.compare_digest(token, dialled.token):
            return
        caller.shown = {token}
        dialled.subject = caller.subject
        dialled.proved.set()
        caller.on_proved()

    def counts(self, caller: Caller) -> bool:
        """Return whether what ``caller`` reports is a living member's own word."""
        if self._everybody or not self._proof_needed:
            return self._everybody or caller.name in self._members
        dialled = self._dialled.get(caller.name)
        return dialled is not None and dialled.token in caller.shown

    async def wait_proved(self, name: str, within: float) -> None:
        """Return once the process that answers for ``name`` has called, with a certificate that may replicate.

        Raises:
            UnavailableError: It has not within that many seconds.
            PermissionDeniedError: Its right was withdrawn.
        """
        if not self._proof_needed:
            return
        try:
            async with asyncio.timeout(within):
                await self._dialled[name].proved.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{name} answers, and has not called here within {within:g} s with a certificate that may replicate:"
                " nothing is copied from it"
            ) from None
        self.check(name)

    def check(self, name: str) -> None:
        """Return if what ``name`` sends may be taken.

        Raises:
            PermissionDeniedError: It may not replicate, or not any more.
        """
        if self._proof_needed:
            dialled = self._dialled.get(name)
            if dialled is None or not dialled.proved.is_set():
                raise PermissionDeniedError("", REPLICATE, "*")
            self._authorizer.authorize(dialled.subject, "*", REPLICATE)

    def _tell_callers(self, name: str) -> None:
        for caller in self._callers.get(name, ()):
            caller.on_proved()
