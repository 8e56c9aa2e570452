"""Agent settings from the environment: the variables that the command line also reads."""

import os
from pathlib import Path

from proglog.errors import ConfigError
from proglog.security.tls import TLSFiles

ADDR = "PROGLOG_ADDR"
TLS = ("PROGLOG_TLS_CERT_FILE", "PROGLOG_TLS_KEY_FILE", "PROGLOG_TLS_CA_FILE")


def addresses(default: str) -> str:
    """Return the agents that ``PROGLOG_ADDR`` names, or ``default``."""
    return os.environ.get(ADDR) or default


def tls_files() -> TLSFiles | None:
    """Return the files that the variables name; ``None`` without any.

    Raises:
        ConfigError: Some are set and some are not.
    """
    given = {name: os.environ.get(name, "") for name in TLS}
    if not any(given.values()):
        return None
    missing = [name for name, path in given.items() if not path]
    if missing:
        raise ConfigError(f"TLS needs three files; not set: {', '.join(missing)}")
    cert, key, ca = (Path(given[name]) for name in TLS)
    return TLSFiles(cert_file=cert, key_file=key, ca_file=ca)
