"""An incident in one file: what a dashboard knew and showed, for later analysis.

::

    proglog-incident-NODE-DATE.tar.gz
      README.txt            what is in here, and what was left out
      screen.txt  .svg      the screen, as it was
      alerts.txt            what needed attention, with advice
      snapshots/NODE.json   what each member said of itself and its cluster, the watched one in full
      recording.sqlite      the last ten minutes, for `proglog dash --replay`
      about.json            versions, platform, terminal, how the dashboard was started

It goes to people who may not see everything: no record and no key ever enters it, of TLS files only the paths, and
values of tags whose names sound like a secret are replaced.
"""

import gzip
import io
import json
import os
import platform
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from proglog import __version__
from proglog.errors import StorageError
from proglog.observe.frame import Frame
from proglog.observe.health import Finding
from proglog.observe.json_values import to_json_value
from proglog.observe.recording import save
from proglog.observe.safe_text import safe_text
from proglog.wire.model import ClusterSnapshot

REDACTED = "(redacted)"
_SECRET = re.compile(r"key|secret|token|passw|credential|auth", re.IGNORECASE)
_PACKAGES = ("textual", "rich", "grpcio", "protobuf", "typer", "cryptography")
_TERMINAL = ("TERM", "COLORTERM", "TERM_PROGRAM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "TMUX", "SSH_TTY")
_MAX_MEMBERS = 256
_README = """What a proglog dashboard knew of {node} at {at}.

screen.txt, screen.svg   the screen as it was{screen}
alerts.txt               what needed attention, and the advice
snapshots/               what each member said of itself and its cluster
recording.sqlite         the last minutes: proglog dash --replay recording.sqlite
about.json               versions, platform, terminal, how the dashboard was started

Left out on purpose: records, keys, the contents of certificates. Values of tags that sound like secrets are replaced.
"""


def redacted(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Return a snapshot without the values of tags whose names sound like a secret."""
    members = tuple(
        replace(member, tags={name: REDACTED if _SECRET.search(name) else value for name, value in member.tags.items()})
        for member in snapshot.members
    )
    return replace(snapshot, members=members)


def contents(
    *,
    snapshot: ClusterSnapshot,
    others: Iterable[ClusterSnapshot],
    alerts: Iterable[Finding],
    screen: Mapping[str, str],
    recording: bytes,
    at: str,
    started: Mapping[str, object],
    environ: Mapping[str, str],
) -> dict[str, bytes]:
    """Return the files of a bundle by name.

    Args:
        snapshot: Of the agent that is watched.
        others: What other members said themselves.
        alerts: What needs attention, the worst first.
        screen: The picture by its ending, ``txt`` and ``svg``; empty: it showed records.
        recording: A file of :mod:`proglog.observe.recording`.
        at: The moment, to be read by people.
        started: How the dashboard was started. Without secrets: names and paths.
        environ: The environment; of it only what tells about the terminal is taken.
    """
    node = safe_text(snapshot.node.name, 80)
    left_out = "" if screen else ": left out, it showed records"
    files = {"README.txt": _README.format(node=node, at=at, screen=left_out).encode()}
    files |= {f"screen.{ending}": text.encode("utf-8", "replace") for ending, text in screen.items()}
    files["alerts.txt"] = _alerts(alerts)
    for each in [snapshot, *others][:_MAX_MEMBERS]:
        files.setdefault(f"snapshots/{file_stem(each.node.name)}.json", _json(to_json_value(redacted(each))))
    files["recording.sqlite"] = recording
    files["about.json"] = _json(_about(started, environ))
    return files


def recording_of(target: str, frames: Iterable[Frame]) -> bytes:
    """Return frames as a recording, tags that sound like secrets redacted.

    Raises:
        StorageError: There is no room for it in the directory of temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="proglog-bundle-") as directory:
        path = Path(directory) / "recording.sqlite"
        save(path, target, (replace(frame, outline=redacted(frame.outline)) for frame in frames))
        return path.read_bytes()


def packed(files: Mapping[str, bytes], stem: str, at: float) -> bytes:
    """Return the files as a ``.tar.gz``, in a directory ``stem``, all with the time ``at``."""
    whole = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=whole, mode="wb", mtime=at) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(at), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return whole.getvalue()


def write(path: Path, data: bytes) -> None:
    """Writes a file that only its owner reads, whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".proglog-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def file_stem(name: str) -> str:
    """Return a name that any file may have, whatever a member calls itself."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:80].strip(".") or "member"


def _alerts(alerts: Iterable[Finding]) -> bytes:
    lines = [
        f"{each.severity.name.lower()}: {safe_text(each.subject)} {safe_text(each.cause)}\n  {safe_text(each.advice)}\n"
        for each in alerts
    ]
    return "".join(lines or ["nothing needed attention\n"]).encode()


def _about(started: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    return {
        "proglog": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "terminal": {name: environ[name] for name in _TERMINAL if name in environ},
        "started": dict(started),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()
