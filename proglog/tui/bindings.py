"""The classes whose keys work on each screen of the dashboard: what a reader's own keys are checked against."""

from proglog.tui.app import DashApp
from proglog.tui.keymap import Keymap
from proglog.tui.palette import Palette
from proglog.tui.screens.confirm import Confirm
from proglog.tui.screens.copies import CopiesReader
from proglog.tui.screens.jump import Jump
from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.reader import Page, Reader
from proglog.tui.screens.record import RecordReader
from proglog.tui.screens.records import RecordsScreen
from proglog.tui.screens.segment import SegmentScreen
from proglog.tui.screens.why import Why
from proglog.tui.widgets.live_table import LiveTable
from proglog.tui.widgets.window_table import WindowTable

KEYMAP = Keymap(
    {
        "RecordsScreen": (DashApp, RecordsScreen, WindowTable),
        "SegmentScreen": (DashApp, SegmentScreen, WindowTable),
        "MainScreen": (DashApp, MainScreen, LiveTable),
        "Reader": (Reader, Page),
        "RecordReader": (RecordReader, Page),
        "Why": (Why, Page),
        "Palette": (Palette,),
        "Confirm": (Confirm,),
        "CopiesReader": (CopiesReader, Page),
        "Jump": (Jump,),
    }
)
"""A box takes the keys of the screen below it and of the application; a test compares with every class that has keys."""
