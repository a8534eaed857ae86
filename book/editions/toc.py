"""What _toc.yml says: the pages of the book, in order."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def parts():
    """Return the book's parts, each a caption, if it has one, and the names of its pages."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [(None, [toc["root"]])] + [
        (part.get("caption"), [chapter["file"] for chapter in part["chapters"]])
        for part in toc["parts"]
    ]


def pages():
    """Return the names of all pages."""
    return [name for _, names in parts() for name in names]
