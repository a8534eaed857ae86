"""Collect the chapters as notebooks in _build/notebooks: what a reader runs, at home, on Binder or on Colab.

The folder stands on its own: notebooks in plain Markdown, the package as a wheel, and a list of what to
install, each with its checksum. It is what the branch ``notebooks`` holds. The notebooks are those that the
built pages offer for download, so the book must have been built.
"""

import hashlib
import shutil
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import nbformat
import yaml
from lite import HTML, chapters, pins, title_of, write_own_wheel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from toc import ROOT

FOLDER = ROOT / "_build" / "notebooks"
EXTRAS = ("chapters", "data", "lab")  # what running a chapter asks for, and what opens it
PLATFORMS = ("linux", "darwin", "win32")
README = Path(__file__).parent / "notebooks" / "README.md"
COLAB = "https://colab.research.google.com/github/{owner}/blob/notebooks/{name}.ipynb"


def environments():
    """Return the markers' environments of the systems that readers have."""
    names = {"linux": ("posix", "Linux"), "darwin": ("posix", "Darwin"), "win32": ("nt", "Windows")}
    return [
        {"sys_platform": key, "os_name": names[key][0], "platform_system": names[key][1]}
        for key in PLATFORMS
    ]


def needed(requirement, extras):
    """Return whether a requirement holds on any of those systems, with these extras."""
    mark = requirement.marker
    return mark is None or any(
        mark.evaluate(there | {"extra": extra})
        for there in environments()
        for extra in extras or [""]
    )


def closure(lines):
    """Return the names of all that these requirements bring, on any system."""
    waiting, seen = [Requirement(line) for line in lines], set()
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if (name, frozenset(asked.extras)) in seen:
            continue
        seen.add((name, frozenset(asked.extras)))
        try:
            brought = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # for another system than this one
            continue
        waiting += [each for each in brought if needed(each, ["", *asked.extras])]
    return sorted({name for name, _ in seen})


def asked_for():
    """Return what the package and its extras ask for, of others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    names, lines = list(EXTRAS), list(project["dependencies"])
    for name in names:
        for line in extras[name]:
            own = Requirement(line)
            if own.name == "fpnotes":
                names += sorted(own.extras - set(names))
            else:
                lines.append(line)
    return lines


def write_requirements():
    """Write what to install: pins of the book's own requirements, and the package's wheel."""
    write_own_wheel(FOLDER)
    (wheel,) = FOLDER.glob("*.whl")
    blocks = pins((ROOT / "requirements.txt").read_text("utf-8"), closure(asked_for()))
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    head = "# By make notebooks: of what the book's sources pin, that which a reader needs."
    text = "\n".join([head, *blocks, f"./{wheel.name} \\\n    --hash=sha256:{checksum}"])
    (FOLDER / "requirements.txt").write_text(f"{text}\n", "utf-8")


def write_notebooks():
    """Copy the notebooks, and list them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    repository = config["repository"]["url"]
    owner = repository.split("github.com/")[1]
    names, rows = [page.stem for page in chapters()], []
    for name in names:
        path = HTML / "_sources" / "book" / f"{name}.ipynb"
        title = title_of(nbformat.read(path, as_version=4))
        rows.append(f"| [{title}]({name}.ipynb) | [open]({COLAB.format(owner=owner, name=name)}) |")
        shutil.copy(path, FOLDER)
    text = README.read_text("utf-8").format(
        title=config["title"],
        owner=owner,
        repository=repository,
        site=config["html"]["baseurl"],
        first=names[0],
        chapters="\n".join(rows),
    )
    (FOLDER / "README.md").write_text(text, "utf-8")


def build():
    """Make the folder afresh."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_notebooks()
    write_requirements()
    for name in ("runtime.txt", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, FOLDER)
    shutil.copytree(README.parent / "folded", FOLDER / "folded")


if __name__ == "__main__":
    build()
    print(
        "The notebooks are in _build/notebooks. To open them: .venv/bin/jupyter lab _build/notebooks"
    )
