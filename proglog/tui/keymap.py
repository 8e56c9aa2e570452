"""Keys that readers choose themselves: binding ids to keys, checked before anything is drawn.

Every binding of the dashboard has an id, such as ``main.zoom``. A reader's table of ids and keys, ``[dash.keys]`` in
the configuration file, is checked against three facts: which ids there are, which keys Textual can tell apart, and
which bindings work at the same time. Those that do are a *scope*: a screen, the widgets on it and, under all but a box,
the application. In one scope a key means one thing.

The classes of each scope come from :mod:`proglog.tui.bindings`: nothing here knows a screen.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import KEY_TO_UNICODE_NAME, REPLACED_KEYS, Keys, _character_to_key, format_key

from proglog.errors import ConfigError

MAX_KEYS = 8
"""Keys of one binding at most."""
_MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")
_NAMED = frozenset(key.value for key in Keys if "+" not in key.value and not key.value.startswith("<"))
_TAKEN = {
    "ctrl+b": "is the prefix of tmux",
    "ctrl+a": "is the prefix of GNU screen and byobu",
    **dict.fromkeys(("ctrl+g", "ctrl+t", "ctrl+n", "ctrl+o"), "changes the mode of zellij"),
    "ctrl+s": "stops the output of some terminals, and changes the mode of zellij",
    "ctrl+z": "suspends programs in a shell",
    "ctrl+i": "is sent as tab by most terminals",
    "ctrl+m": "is sent as enter by most terminals",
    "ctrl+j": "is sent as enter by some terminals",
    "ctrl+h": "is sent as backspace by some terminals",
    "ctrl+left_square_bracket": "is sent as escape by most terminals",
}
_LABELS = {each: each for each in ("up", "down", "left", "right", "enter", "backspace")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action that has keys."""

    id: str
    keys: tuple[str, ...]
    """As Textual names them."""
    description: str


class Keymap:
    """Every action of the dashboard, and which of them work at the same time."""

    def __init__(self, owners: Mapping[str, Sequence[type[DOMNode]]]) -> None:
        """Collect the bindings.

        Args:
            owners: Name of a screen to the classes whose bindings work on it, the outermost first.
        """
        self._owners = owners

    @cached_property
    def actions(self) -> dict[str, Action]:
        """Every action by its id, in the order of the screens, with its default keys."""
        found: dict[str, Action] = {}
        for owners in self._owners.values():
            for binding in (binding for owner in owners for binding in own_bindings(owner)):
                assert binding.id, f"the binding of {binding.key} has no id"  # a test walks them all
                before = found[binding.id].keys if binding.id in found else ()
                keys = tuple(dict.fromkeys((*before, binding.key)))
                description = binding.tooltip or binding.description
                found[binding.id] = Action(id=binding.id, keys=keys, description=description)
        return found

    @cached_property
    def scopes(self) -> dict[str, tuple[str, ...]]:
        """Name of a screen to the ids of the actions that work on it."""
        return {
            name: tuple(dict.fromkeys(binding.id or "" for owner in owners for binding in own_bindings(owner)))
            for name, owners in self._owners.items()
        }

    def checked(self, given: Mapping[str, object], where: str = "[dash.keys]") -> tuple[dict[str, str], list[str]]:
        """Return a keymap for Textual, and warnings about keys that may never arrive.

        Args:
            given: Binding ids and their keys: a text with commas or a list; or a table of such, for ids with their dots
                outside of quotes.
            where: What errors name.

        Raises:
            ConfigError: An id or a key that does not exist; a value that is no key; one key for two actions of a screen.
        """
        chosen = {name: _keys(name, value, where) for name, value in _flat(given) if _known(name, self.actions, where)}
        self._check_clashes(chosen, where)
        warnings = [
            f"{where}: {name} = {key!r}: {key} {_TAKEN[key]}"
            for name, keys in chosen.items()
            for key in keys
            if key in _TAKEN
        ]
        return {name: ",".join(keys) for name, keys in chosen.items()}, warnings

    def _check_clashes(self, chosen: Mapping[str, Sequence[str]], where: str) -> None:
        """Raise ConfigError if a chosen key means two things; that a screen overrides a key by default is intended."""
        for screen, names in self.scopes.items():
            owner: dict[str, str] = {}
            for name in names:
                for key in chosen.get(name, self.actions[name].keys):
                    other = owner.setdefault(key, name)
                    if other != name and (name in chosen or other in chosen):
                        raise ConfigError(
                            f"{where}: {key!r} would be both {other} and {name} on {screen}; "
                            "expected one action for a key: choose another, or move the other one away, too"
                        )


def own_bindings(owner: type[DOMNode]) -> Iterator[Binding]:
    """Yield what a class of the dashboard binds, its bases in the dashboard included, one binding for each key."""
    for base in owner.__mro__:
        if base.__module__.startswith("proglog."):
            yield from Binding.make_bindings(base.__dict__.get("BINDINGS", ()))


def first_key(owner: type[DOMNode], name: str, chosen: Mapping[str, str]) -> str:
    """Return the first key of the action ``name`` that ``owner`` binds, as readers see it."""
    default = next(binding.key for binding in own_bindings(owner) if binding.id == name)
    return key_label(chosen[name].split(",")[0] if name in chosen else default)


def key_label(key: str) -> str:
    """Return a key as footer and help write it: ``ctrl+e``, ``?``, ``esc``. ASCII, unless the key itself is not."""
    *modifiers, last = key.split("+")
    label = _LABELS.get(last) or format_key(last)
    return "+".join([*modifiers, label])


def _flat(given: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _known(name: str, known: Iterable[str], where: str) -> bool:
    if name in known:
        return True
    close = difflib.get_close_matches(name, list(known), 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"{where}: {name!r} is no action; {hint}`proglog config dash` lists them all")


def _keys(name: str, value: object, where: str) -> tuple[str, ...]:
    """Return the keys of one entry."""
    listed: Sequence[object] = value.split(",") if isinstance(value, str) and value != "," else [value]
    if isinstance(value, list):
        listed = value
    if not 0 < len(listed) <= MAX_KEYS:
        raise ConfigError(f"{where}: {name} has {len(listed)} keys; expected 1 to {MAX_KEYS}")
    return tuple(dict.fromkeys(_key(name, each, where) for each in listed))


def _key(name: str, given: object, where: str) -> str:
    if not isinstance(given, str):
        raise ConfigError(
            f'{where}: {name} = {given!r}: expected a key such as "z", "f2" or "ctrl+e", or a list of them'
        )
    *modifiers, last = given.strip().split("+") if given.strip() != "+" else ["+"]
    key = _textual_name(last)
    unknown = [modifier for modifier in modifiers if modifier not in _MODIFIERS]
    if key is None or unknown:
        close = difflib.get_close_matches(given, [*_NAMED, *REPLACED_KEYS], 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"{where}: {name} = {given!r}: no such key; {hint}expected a character, a name such as f2, space, pageup "
            f"or question_mark, with {', '.join(f'{each}+' for each in _MODIFIERS[:3])} in front or not"
        )
    if modifiers == ["shift"] and len(key) == 1 and key.isalpha():
        return key.upper()  # which is what a terminal sends
    return "+".join([*sorted(modifiers), key.lower() if modifiers else key])


def _textual_name(key: str) -> str | None:
    """Return a key's name as Textual has it; ``None``: there is none."""
    if len(key) == 1:
        return _character_to_key(key) if key.isprintable() and key != " " else None
    if key in _NAMED or key in REPLACED_KEYS or key in KEY_TO_UNICODE_NAME:
        return key
    try:
        return _character_to_key(unicodedata.lookup(key.replace("_", " ").upper()))
    except KeyError:
        return None
