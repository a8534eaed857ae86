"""Put together what is published: the book's pages, and the editions that they link to.

``make site`` builds all of it, and copies it to ``_build/site``.
"""

import shutil
import sys

from editions import EDITIONS
from toc import ROOT

BUILD = ROOT / "_build"
SITE = BUILD / "site"


def assemble(build=BUILD, site=SITE):
    """Copy the pages and the editions into one folder, afresh; leave if an edition is missing."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(build / "html", site)
    for address, *_ in EDITIONS.values():
        name = address.split("/")[0]
        source = build / name
        if not source.exists():
            sys.exit(f"{source} has not been built: run make site")
        shutil.copytree(source, site / name) if source.is_dir() else shutil.copy2(source, site)


if __name__ == "__main__":
    assemble()
    print(
        "All that is published is in _build/site. To see it: python3 -m http.server -d _build/site"
    )
