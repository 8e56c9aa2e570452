"""The dashboard in a page of a browser: Textual's driver for pages, which ends when the page's server does.

Textual's own keeps running when its pipes break: a killed server would leave its dashboards behind.
"""

import asyncio
import os
from functools import partial

from textual.drivers.web_driver import WebDriver

NAME = f"{__name__}:PageDriver"
"""What TEXTUAL_DRIVER has to be."""


class PageDriver(WebDriver):
    """Writes to the server's pipe and reads from it, for as long as there is a server."""

    _gone = False
    _loop_of_app: asyncio.AbstractEventLoop

    def start_application_mode(self) -> None:
        """Take over the pipes."""
        self._loop_of_app = asyncio.get_running_loop()
        self._write = partial(self._write_or_leave)
        super().start_application_mode()

    def _write_or_leave(self, data: bytes) -> int:
        try:
            return 0 if self._gone else os.write(self.fileno, data)
        except OSError:
            self._leave()
            return 0

    def run_input_thread(self) -> None:
        """Read what the page sends until it, or the dashboard, ends."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._leave()

    def _leave(self) -> None:
        self._gone = True
        self._loop_of_app.call_soon_threadsafe(self._app.exit)
