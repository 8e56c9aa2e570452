"""Every error that a caller may handle, drawn as a tree.

::

    ProglogError
    +-- ConfigError                 a flag, variable or file says something that cannot be
    +-- InvalidRequestError         a request that no server state could make valid
    |   +-- MalformedBatchError     bytes that are not a batch, or whose checksums do not agree
    |   |   +-- UnknownBatchFormatError   a whole batch that a later version wrote
    |   +-- RecordTooLargeError     a record over the batch limit
    +-- NotFoundError               the thing named does not exist here
    |   +-- OffsetOutOfRangeError   an offset below the start or past the end of the log
    |   +-- PositionGoneError       sequences that a cursor wants, and this log has no more
    +-- DataLossError               a stored range is damaged and could not be refilled (yet)
    +-- StorageError                the disk, or the directory, refuses
    |   +-- DataDirLockedError      another process owns the data directory
    |   +-- LogFullError            no space left; resumes by itself when space returns
    |   +-- LogReadOnlyError        the file system takes no writes; resumes by itself when it does
    |   +-- LogPoisonedError        a write or sync failed: nothing is acknowledged until a restart
    |   +-- LogClosedError          the log is shutting down or shut down
    |   |   +-- DrainingError       the agent is drained: it takes no more records
    |   +-- UnknownFormatError      a file, or something in it, that a later version wrote
    +-- SequenceGapError            a copy that would leave out sequences before it
    +-- ForkedOriginError           two histories under one origin
    +-- PreconditionError           a request that fits another state of this server, or another server
    |   +-- OtherLogError           an offset or position of another node's log
    |   +-- ProducerSequenceError   an idempotent producer's batch that does not follow its last one here
    |   |   +-- ProducerHoleError       batches before it are missing
    |   |   +-- ProducerForgottenError  it comes before the batches that are remembered
    |   |   +-- ProducerFencedError     the producer has begun a later epoch
    |   +-- TooFewServersError      more copies asked for than there are servers
    |   +-- PositionSupersededError a commit of an epoch that is over
    |   +-- TooManyPositionsError   as many named positions as are kept
    |   +-- IncompatibleReleaseError    two releases of proglog that have no version in common
    |   +-- OriginChangedError      the node changed its origin: say hello again
    |   +-- SelfConnectionError     a peer's address that leads back to the node
    +-- NameTakenError              another node has this node's name: the agent shut down
    +-- AccessError                 who you are, or what you may do
    |   +-- UnauthenticatedError    no certificate that the server trusts
    |   +-- PermissionDeniedError   a known subject without a rule that allows the action
    +-- ProduceError                records that a producer took are not known to be written as asked for
    |   +-- NotWrittenError         refused or never sent: they are not in the log
    |   +-- UnknownOutcomeError     sent and not answered: they may or may not be in the log
    |   +-- UnconfirmedError        durable on the agent, and not known to be on as many nodes as asked for
    +-- UnavailableError            the server cannot be reached, or is stopping: try again
    +-- DeadlineError               no answer in time; the outcome is unknown
    +-- OverloadedError             a bounded queue is full: try again later
    |   +-- TooManyCallsError       the server has as many calls as it takes: nothing was done
    +-- UsageError                  a client used where it cannot work: another event loop, a forked process
    |   +-- ClosedError             it was closed
    +-- InternalError               the server met a bug: its telemetry has the number
    +-- TaskFailedError             a task of the agent met a bug: the agent shut down

Errors carry facts and render themselves; a bug is an ``assert`` or a ``TypeError``. Those are never handled: a call that
raises one fails, and so does an agent.
``proglog.wire.status`` is the only table from errors to gRPC statuses and back; ``proglog.cli.exit_codes`` the only
one from errors to exit codes.
"""

from typing import Any

from proglog.types import counted, half_open


class ProglogError(Exception):
    """Base of every error that a caller may handle. ``str()`` of it is one line for an operator.

    Errors can be pickled and copied, facts included.
    """

    retriable = False
    """Whether the same call may succeed later, with nothing changed but the state of servers and network."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Make it again from its sentence and facts: constructors take facts, not sentences."""
        return _again, (type(self), self.args, self.__dict__)


class ConfigError(ProglogError):
    """An invalid flag, variable or file: names the value and what was expected."""


class InvalidRequestError(ProglogError):
    """A request that no server state could make valid."""


class MalformedBatchError(InvalidRequestError):
    """Bytes that are not a record batch, or whose checksums do not agree with them."""


class UnknownBatchFormatError(MalformedBatchError):
    """A whole batch of a version, codec or flag that is not known here: a later version wrote it.

    Attributes:
        what: Which, in words: ``batch format version 3``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported: a later version wrote it")
        self.what = what


class RecordTooLargeError(InvalidRequestError):
    """A record that does not fit into one batch.

    Attributes:
        size_bytes: Size that the batch would need.
        limit_bytes: Most bytes of a batch.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"record needs a batch of {size_bytes:,} bytes; the limit is {limit_bytes:,}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class NotFoundError(ProglogError):
    """The thing named does not exist here."""


class OffsetOutOfRangeError(NotFoundError):
    """An offset below the start or past the end of the log.

    Attributes:
        offset: The requested offset.
        start: First offset kept.
        end: One past the last.
    """

    def __init__(self, offset: int, start: int, end: int) -> None:
        held = (
            f"the log holds offsets {half_open(start, end)}" if end > start else f"the log is empty and ends at {end}"
        )
        super().__init__(f"offset {offset} is out of range: {held}")
        self.offset = offset
        self.start = start
        self.end = end


class PositionGoneError(NotFoundError):
    """Sequences that a cursor wants are no longer in this log.

    Attributes:
        origin: The origin, 16 bytes.
        start: First sequence that is gone.
        end: One past the last that is gone.
        reason: Why, in words.
    """

    def __init__(self, origin: bytes, start: int, end: int, reason: str) -> None:
        super().__init__(
            f"sequences {half_open(start, end)} of origin {origin.hex()[:8]} are gone from this log: {reason};"
            " read from a node that has them, or skip the gap (--skip-gone)"
        )
        self.origin = origin
        self.start = start
        self.end = end
        self.reason = reason


class DataLossError(ProglogError):
    """A stored range is damaged and could not be refilled (yet).

    Attributes:
        start: First offset that cannot be read.
        end: One past the last offset that cannot be read.
    """

    retriable = True

    def __init__(self, start: int, end: int, detail: str = "") -> None:
        suffix = f": {detail}" if detail else ""
        super().__init__(f"offsets {half_open(start, end)} are damaged{suffix}")
        self.start = start
        self.end = end


class StorageError(ProglogError):
    """The disk, or the directory, refuses."""


class DataDirLockedError(StorageError):
    """Another process owns the data directory."""

    def __init__(self, path: str, owner: str = "") -> None:
        held = f" by {owner}" if owner else ""
        super().__init__(f"data directory {path} is locked{held}; stop that agent or choose another directory")
        self.path = path


class LogFullError(StorageError):
    """No space left on the log's device. Reads continue; appends resume by themselves when space returns."""

    retriable = True


class LogReadOnlyError(StorageError):
    """The log's file system is read-only. Reads continue; appends resume by themselves once it is writable."""

    retriable = True


class LogPoisonedError(StorageError):
    """A write or sync failed, so what is on disk is unknown: nothing is acknowledged until a restart recovers."""


class LogClosedError(StorageError):
    """The log is shutting down or shut down."""

    retriable = True

    def __init__(self) -> None:
        super().__init__("the log is closed")


class DrainingError(LogClosedError):
    """The agent is being drained: it takes no more records until it is asked to resume; others do."""

    def __init__(self) -> None:
        StorageError.__init__(self, "the agent is being drained and takes no records: another agent does")


class UnknownFormatError(StorageError):
    """A file, or something in it, that a later version wrote. Nothing is changed: use that version."""


class SequenceGapError(ProglogError):
    """A copy that would leave out sequences before it.

    Attributes:
        origin: The origin, 16 bytes.
        expected: The next sequence that this log may take.
        found: Where the copy starts.
    """

    def __init__(self, origin: bytes, expected: int, found: int) -> None:
        super().__init__(f"origin {origin.hex()[:8]} continues at sequence {expected}; the batch starts at {found}")
        self.origin = origin
        self.expected = expected
        self.found = found


class ForkedOriginError(ProglogError):
    """Two different histories claim the same origin.

    Attributes:
        origin: The origin, 16 bytes.
        sequence: Where the two diverge, if known.
    """

    def __init__(self, origin: bytes, sequence: int) -> None:
        super().__init__(f"origin {origin.hex()[:8]} has two histories: they part at sequence {sequence}")
        self.origin = origin
        self.sequence = sequence


class PreconditionError(ProglogError):
    """A request that fits another state of this server, or another server: nothing was done."""


class OtherLogError(PreconditionError):
    """An offset that was read from another node's log: offsets differ from node to node; cursors do not."""


class ProducerSequenceError(PreconditionError):
    """An idempotent producer's batch that neither follows nor repeats one of its last ones here: not appended."""


class ProducerHoleError(ProducerSequenceError):
    """Batches before this one are missing here: a producer sends them first.

    Attributes:
        producer_id: 16 bytes.
        expected: The sequence that the producer continues at.
        found: Where the batch starts.
    """

    def __init__(self, producer_id: bytes, expected: int, found: int) -> None:
        super().__init__(
            f"producer {producer_id.hex()[:8]} continues at sequence {expected}; the batch starts at {found}"
        )
        self.producer_id = producer_id
        self.expected = expected
        self.found = found


class ProducerForgottenError(ProducerSequenceError):
    """A batch from before those that are remembered: whether it was appended here, and where, is no longer known.

    Attributes:
        producer_id: 16 bytes.
        expected: The sequence that the producer continues at.
        found: Where the batch starts.
    """

    def __init__(self, producer_id: bytes, expected: int, found: int) -> None:
        super().__init__(
            f"producer {producer_id.hex()[:8]} continues at sequence {expected}; the batch starts at {found}, before"
            " those that are remembered: whether it was appended is no longer known here"
        )
        self.producer_id = producer_id
        self.expected = expected
        self.found = found


class ProducerFencedError(ProducerSequenceError):
    """A batch of an epoch that is over: another life of the producer has begun.

    Attributes:
        producer_id: 16 bytes.
        expected: The producer's epoch.
        found: The batch's.
    """

    def __init__(self, producer_id: bytes, expected: int, found: int) -> None:
        super().__init__(
            f"producer {producer_id.hex()[:8]} is now in epoch {expected}; a batch of epoch {found} is too late"
        )
        self.producer_id = producer_id
        self.expected = expected
        self.found = found


class PositionSupersededError(PreconditionError):
    """A commit of an epoch that is over: somebody has started the named position over."""


class TooManyPositionsError(PreconditionError):
    """A new name where as many positions have names as are kept."""


class IncompatibleReleaseError(PreconditionError):
    """Two releases of proglog that have no version of a protocol or format in common: the older one is to be upgraded."""


class OriginChangedError(PreconditionError):
    """The node changed its origin since its hello."""


class SelfConnectionError(PreconditionError):
    """A peer's address that leads back to the node itself."""


class TooFewServersError(PreconditionError):
    """More durable copies asked for than the cluster has servers.

    Attributes:
        wanted: Copies asked for.
        servers: Servers that are alive.
    """

    retriable = True

    def __init__(self, wanted: int, servers: int) -> None:
        super().__init__(f"acks={wanted}: servers alive: {servers}; ask for at most that many")
        self.wanted = wanted
        self.servers = servers


class NameTakenError(ProglogError):
    """Another node of the cluster has this node's name, and the vote went to it: the agent shut down.

    Attributes:
        name: The name. Foreign text.
        rival: HOST:PORT of the other node's gossip.
    """

    def __init__(self, name: str, rival: str, votes: str, data_dir: str) -> None:
        super().__init__(
            f"another node has the name {name!r}, at {rival}, and the cluster's vote went to it ({votes}); this agent shut"
            f" down. Start it again under a name of its own (--node-name): what it acknowledged is in {data_dir} and is"
            " copied from there"
        )
        self.name = name
        self.rival = rival


class AccessError(ProglogError):
    """The caller's identity or permissions."""


class UnauthenticatedError(AccessError):
    """No certificate that the server trusts."""


class PermissionDeniedError(AccessError):
    """A known subject without a rule that allows the action.

    Attributes:
        subject: Common name of the caller's certificate; empty without one.
        action: The attempted action.
        object: Its object.
    """

    def __init__(self, subject: str, action: str, object_: str) -> None:
        super().__init__(f"{subject or '(no certificate)'} not permitted to {action} to {object_}")
        self.subject = subject
        self.action = action
        self.object = object_


class UnavailableError(ProglogError):
    """The server cannot be reached, or is stopping: a retry may succeed."""

    retriable = True


class DeadlineError(ProglogError):
    """No answer in time. The request may or may not have taken effect."""

    retriable = True


class ProduceError(ProglogError):
    """Records that a producer took are not known to be written as asked for.

    Attributes:
        cause: Why.
        acknowledged: Records that are durable on as many nodes as asked for.
        unknown: Records that were sent and not answered, or not confirmed in time: they may or may not be in the log.
        unsent: Records that were not sent, or were refused: they are not in the log.
    """

    def __init__(self, cause: ProglogError, *, acknowledged: int, unknown: int, unsent: int) -> None:
        super().__init__(
            f"{cause} ({counted(acknowledged, 'record')} acknowledged, {unknown:,} of unknown outcome, {unsent:,} not sent)"
        )
        self.cause = cause
        self.acknowledged = acknowledged
        self.unknown = unknown
        self.unsent = unsent


class NotWrittenError(ProduceError):
    """Records that were refused or never sent: they are not in the log, and may be sent again."""

    def __init__(self, cause: ProglogError, records: int = 1) -> None:
        ProglogError.__init__(self, f"not written: {cause}")
        self.cause = cause
        self.acknowledged = self.unknown = 0
        self.unsent = records
        self.retriable = cause.retriable


class UnknownOutcomeError(ProduceError):
    """Records that were sent and not answered: in the log or not. Sending them again may append them twice."""

    def __init__(self, cause: ProglogError, records: int = 1) -> None:
        ProglogError.__init__(self, f"of unknown outcome, sent and not answered: {cause}")
        self.cause = cause
        self.acknowledged = self.unsent = 0
        self.unknown = records


class UnconfirmedError(ProduceError, DeadlineError):
    """Records are durable on the agent, and were not confirmed on as many nodes as asked for in time.

    Their outcome is *unknown*, not failed: the other nodes get them when they can. Sending them again would append
    them twice. Attributes as those of :class:`ProduceError`.
    """

    retriable = False

    def __init__(self, *, acknowledged: int, unknown: int, nodes: str) -> None:
        count = f"{counted(unknown, 'record')} {'is' if unknown == 1 else 'are'}"
        sentence = (
            f"{count} durable on the agent, but not confirmed on {nodes} in time: the outcome is unknown, not failed,"
            " and copies may still arrive; do not send again"
        )
        ProglogError.__init__(self, f"{sentence} ({counted(acknowledged, 'record')} acknowledged)")
        self.cause = DeadlineError(sentence)
        self.acknowledged = acknowledged
        self.unknown = unknown
        self.unsent = 0


class OverloadedError(ProglogError):
    """A bounded queue is full: try again later."""

    retriable = True


class TaskFailedError(ProglogError):
    """A task of the agent ended unexpectedly: a bug, which shuts the agent down.

    Attributes:
        task: Its name.
        error: The exception that ended it.
    """

    def __init__(self, task: str, error: BaseException) -> None:
        super().__init__(
            f"this is a bug in proglog: the task {task} failed: {error!r}; the agent shut down, and its telemetry has"
            " the traceback (event task_failed)"
        )
        self.task = task
        self.error = error


class TooManyCallsError(OverloadedError):
    """The server is at its limit of calls or request bytes. Nothing was done: clients back off and retry."""


class UsageError(ProglogError):
    """A client, producer or consumer used where it cannot work; says what to do instead."""


class ClosedError(UsageError):
    """A client, producer or consumer used after it was closed, or closed while it was being used."""


class InternalError(ProglogError):
    """The server met a bug. The message has a number, under which the agent's telemetry has the details."""


def is_out_of_reach(error: ProglogError) -> bool:
    """Return whether the error means that the server could not be reached, so that a retry or failover may help.

    Covers every transport failure: connection refused, broken or closed, no answer in time, the server stopping. A
    server that refuses a request is reachable.
    """
    return isinstance(error, UnavailableError | LogClosedError | DeadlineError)


def _again(kind: type[ProglogError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> ProglogError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(facts)
    return error
