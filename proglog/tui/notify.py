"""What a finding that is new does beside being shown."""

from enum import StrEnum


class Notify(StrEnum):
    """What a finding that is new does beside being shown."""

    OFF = "off"
    BELL = "bell"
    DESKTOP = "desktop"
    """The bell, and a notification of the desktop by the terminal (OSC 9), where it knows that."""
