"""Build the documentation as a web site: `make site`.

The pages are those of docs/ and the ones beside them; links to files that are no pages become text. mkdocs runs strictly: a
warning, such as a link that leads nowhere, ends it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "site"
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tests/README.md": "tests.md",
    "examples/README.md": "examples.md",
    "docs/README.md": "contents.md",
}
"""Pages beside those in docs/ that keep their places."""
CONFIG = """\
site_name: proglog
docs_dir: pages
site_dir: html
theme:
  name: mkdocs
strict: true
validation:
  links:
    not_found: warn
    anchors: warn
    unrecognized_links: warn
  omitted_files: ignore
"""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def target_of(path: Path) -> Path | None:
    """Return the place of a file on the site; ``None``: it is not on it."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    if name in PAGES:
        return Path(PAGES[name])
    inside = name.startswith("docs/") and path.is_file()
    return Path(name.removeprefix("docs/")) if inside else None


def rewritten(text: str, source: Path) -> str:
    """Return a page with links that are right on the site."""
    place = target_of(source)
    assert place is not None, "only pages are rewritten"

    def link(match: re.Match[str]) -> str:
        image, words, where, anchor = match.groups()
        if not where or "://" in where:
            return match[0]
        found = (source.parent / where).resolve()
        target = target_of(found / "README.md" if found.is_dir() else found)
        if target is None:
            return words if not image else ""
        steps = Path(*[".."] * len(place.parent.parts))
        return f"{image}[{words}]({(steps / target).as_posix()}{anchor or ''})"

    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def write() -> None:
    """Write the sources of the site."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for source in [ROOT / name for name in PAGES] + sorted((ROOT / "docs").rglob("*")):
        place = target_of(source) if source.is_file() else None
        if place is None:
            continue
        target = BUILD / "pages" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(rewritten(source.read_text(), source))
        else:
            shutil.copyfile(source, target)
    (BUILD / "mkdocs.yml").write_text(CONFIG)


if __name__ == "__main__":
    write()
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "-f", str(BUILD / "mkdocs.yml")]
    sys.exit(subprocess.run(command, check=False).returncode)
