"""Print the keys in dist/keys, or another folder, as PDF, as the book is printed: by headless Chromium."""

import sys
from pathlib import Path

from chromium import launched

ROOT = Path(__file__).resolve().parents[1]


def main(folder="dist/keys"):
    """Write a PDF beside each page."""
    with launched() as browser:
        page = browser.new_page()
        for source in sorted((ROOT / folder).glob("*.html")):
            page.goto(source.as_uri())
            target = source.with_suffix(".pdf")
            page.pdf(path=target, prefer_css_page_size=True, outline=True, tagged=True)
            print(target.relative_to(ROOT))


if __name__ == "__main__":
    main(*sys.argv[1:])
