"""The program as one file, as shiv makes it: it puts its packages on the path of its own process only."""

import json
import site
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def zipapp(place: Path) -> list[str]:
    """Return what starts it, with an interpreter that would not find the packages otherwise."""
    app = place / "proglog.pyz"
    paths = [*site.getsitepackages(), str(ROOT)]
    with zipfile.ZipFile(app, "w") as archive:
        archive.writestr(
            "__main__.py",
            f"import sys\nsys.path[:0] = {json.dumps(paths)}\nfrom proglog.__main__ import main\nmain()\n",
        )
    base = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    found = subprocess.run([base, "-c", "import grpc"], cwd=place, capture_output=True, timeout=60, check=False)
    assert found.returncode, "it would be found anyway"
    return [base, str(app)]
