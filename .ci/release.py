"""Gather what a release holds: ``python .ci/release.py v0.1.0``, which ``make release TAG=v0.1.0`` calls.

It fails unless the tag, the package, CITATION.cff and CHANGELOG.md agree on the version. With ``--check``
that is all, and ``make release`` asks for it before it builds anything. Then it writes

    dist/release/files/    wheel, sdist, print edition, and zips of the slides and the problem sets
    dist/release/notes.md  what CHANGELOG.md says of this version
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ZIPPED = {
    "slides": "slides",
    "student": "problem-sets-student",
    "instructor": "problem-sets-teacher",
}


def check_version(tag, root=ROOT):
    """Return the version of a release and its section of the changelog, or exit and say what disagrees."""
    text = (root / "fpnotes/__init__.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', text, re.M)[0]
    if tag != f"v{version}":
        sys.exit(f"the tag must be v{version}, the version in fpnotes/__init__.py, not {tag!r}")
    cited = str(yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["version"])
    if cited != version:
        sys.exit(f"CITATION.cff must have version {version}, not {cited}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if not found:
        sys.exit(
            f"CHANGELOG.md must have a heading with the date of the release, ## [{version}] - YYYY-MM-DD"
        )
    return version, found[1].strip()


def main(tag):
    """Gather it."""
    version, notes = check_version(tag)
    shutil.rmtree(DIST / "release", ignore_errors=True)
    files = DIST / "release" / "files"
    files.mkdir(parents=True)
    (DIST / "release" / "notes.md").write_text(notes + "\n", encoding="utf-8")
    for path in (DIST / "package").iterdir():
        shutil.copy2(path, files)
    shutil.copy2(
        ROOT / "_build/learning-fixed-points.pdf", files / f"learning-fixed-points-{version}.pdf"
    )
    for folder, name in ZIPPED.items():
        shutil.make_archive(str(files / f"{name}-{version}"), "zip", DIST / folder)
    shutil.copy2(ROOT / ".zenodo.json", files / "zenodo.json")
    print(*sorted(path.name for path in files.iterdir()), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Gather what a release holds.")
    parser.add_argument("tag", nargs="?", default="")
    parser.add_argument("--check", action="store_true", help="only look whether versions agree")
    given = parser.parse_args()
    (check_version if given.check else main)(given.tag)
