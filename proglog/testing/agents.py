"""An agent, or a cluster of them, for the time of a ``with`` block: for scripts, and for tests without fixtures."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess


@contextmanager
def agent(
    directory: Path | None = None, *, name: str = "agent", flags: Mapping[str, str] | None = None
) -> Iterator[AgentProcess]:
    """Run one agent, plain text, on free ports of 127.0.0.1; kill it at the end.

    Args:
        directory: Holds its data and telemetry. Default: a temporary one, removed at the end.
        name: Its node name.
        flags: Additional flags of ``proglog serve``, without the dashes.

    Raises:
        AssertionError: It ended, or was not ready in time.
    """
    with _directory(directory) as kept, AgentProcess(name, kept, flags=flags or {}) as started:
        yield started


@contextmanager
def cluster(
    directory: Path | None = None, *, names: Iterable[str] = "abc", flags: Mapping[str, str] | None = None
) -> Iterator[LocalCluster]:
    """Run a cluster; kill it at the end. Arguments and errors as those of :func:`agent`.

    Args:
        directory: As there.
        names: One agent each; the first one is the seed of the others.
        flags: As there, for every agent.
    """
    with _directory(directory) as kept, LocalCluster(kept, names, flags=flags) as started:
        yield started


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="proglog-") as made:
        yield Path(made)
