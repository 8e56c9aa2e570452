"""What a cluster needs beside certificates, for development: the book's rules for some subjects, and a gossip key.

::

    model.conf    how a request is compared with a rule: subject, object and action are the same
    policy.csv    each subject may do everything
    gossip.key    32 random bytes in base64
"""

import secrets
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from proglog.errors import ConfigError
from proglog.security.actions import ACTIONS
from proglog.security.subject import MAX_SUBJECT_CHARS

MODEL = """[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""
KEY_BYTES = 32


def create_rules(directory: Path, subjects: Sequence[str]) -> tuple[Path, Path]:
    """Make model and policy in ``directory``; files that are there stay as they are. Return both paths.

    Raises:
        ConfigError: A subject cannot stand in a policy file, or the directory cannot be written.
    """
    for subject in subjects:
        if not subject.isprintable() or not 1 <= len(subject) <= MAX_SUBJECT_CHARS or set(subject) & set(',"# '):
            raise ConfigError(f"subject {subject!r} cannot stand in a policy file: use letters, digits and . _ @ -")
    rules = "".join(f"p, {subject}, *, {action}\n" for subject in subjects for action in ACTIONS)
    model, policy = directory / "model.conf", directory / "policy.csv"
    _make(model, MODEL, 0o644)
    _make(policy, rules, 0o644)
    return model, policy


def create_gossip_key(directory: Path) -> Path:
    """Make a key in ``directory`` if there is none; return its path.

    Raises:
        ConfigError: The directory cannot be written.
    """
    path = directory / "gossip.key"
    _make(path, b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n", 0o600)
    return path


def _make(path: Path, text: str, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=mode, exist_ok=False)
        path.write_text(text)
    except FileExistsError:
        return
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}; choose another directory") from exc
