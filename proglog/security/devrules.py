"""What a cluster needs beside certificates, for development: the book's rules for some subjects, and a gossip key.

::

    model.conf    how a request is compared with a rule: subject, object and action are the same
    policy.csv    what each subject may do
    gossip.key    32 random bytes in base64
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from proglog.errors import ConfigError
from proglog.security.actions import ACTIONS, INCLUDED_IN, REPLICATE
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


CLIENT_ACTIONS = tuple(action for action in ACTIONS if action != REPLICATE)
"""The rights of a client named without any: all but a peer's."""


class DevRules(NamedTuple):
    """What :func:`create_rules` made."""

    model: Path
    policy: Path
    added: tuple[str, ...]
    """Subjects that got rules now; the others had some, which stay as they are."""


def check_rights(rights: Mapping[str, Sequence[str]]) -> None:
    """Check that rules can say what each subject may do.

    Raises:
        ConfigError: A subject cannot stand in a policy file, or an action is none.
    """
    for subject, actions in rights.items():
        for action in actions:
            if action not in ACTIONS:
                raise ConfigError(f"{subject}: {action!r} is no action; expected {', '.join(ACTIONS)}")
        if not subject.isprintable() or not 1 <= len(subject) <= MAX_SUBJECT_CHARS or set(subject) & set(',"# '):
            raise ConfigError(f"subject {subject!r} cannot stand in a policy file: use letters, digits and . _ @ -")


def create_rules(directory: Path, rights: Mapping[str, Sequence[str]]) -> DevRules:
    """Make model and policy in ``directory``, or add to the policy that is there.

    Args:
        directory: Receives both.
        rights: Actions by subject. Subjects that the policy names already keep what they have; what their rules only
            include is written out if a new rule ends that.

    Raises:
        ConfigError: A subject cannot stand in a policy file, an action is none, or the directory cannot be written.
    """
    check_rights(rights)
    model, policy = directory / "model.conf", directory / "policy.csv"
    _make(model, MODEL, 0o644)
    _make(policy, "", 0o644)
    try:
        text = policy.read_text()
        had = [tuple(map(str.strip, line.split(",")))[1:4] for line in text.splitlines() if line.startswith("p,")]
        added = tuple(subject for subject in rights if subject not in {rule[0] for rule in had})
        new = [(subject, "*", action) for subject in added for action in rights[subject]]
        rules = "".join(f"p, {', '.join(rule)}\n" for rule in (*_written_out(had, new), *new))
        if rules:
            draft = policy.with_name(f".{policy.name}.new")
            draft.write_text(text + ("" if text.endswith("\n") or not text else "\n") + rules)
            draft.chmod(0o644)
            draft.replace(policy)
    except (OSError, UnicodeDecodeError, IndexError) as exc:
        raise ConfigError(f"{policy} cannot be added to ({exc}): add the rules by hand, or remove it") from exc
    return DevRules(model, policy, added)


def _written_out(had: Sequence[tuple[str, ...]], new: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return as rules the rights that others' rules include, and would no longer once ``new`` name the action."""
    named = {action for *_, action in had}
    subjects = dict.fromkeys(tuple(rule[:2]) for rule in had)
    return [
        (*subject, action)
        for action, granting in INCLUDED_IN.items()
        if action not in named and action in {action for *_, action in new}
        for subject in subjects
        if all((*subject, each) in had for each in granting)
    ]


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
