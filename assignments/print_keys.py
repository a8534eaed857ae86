"""Print the keys in dist/keys as PDF, as the book is printed: by headless Chromium."""

from pathlib import Path

from chromium import launched

KEYS = Path(__file__).resolve().parents[1] / "dist" / "keys"


def main():
    """Write a PDF beside each page."""
    with launched() as browser:
        page = browser.new_page()
        for source in sorted(KEYS.glob("*.html")):
            page.goto(source.as_uri())
            target = source.with_suffix(".pdf")
            page.pdf(path=target, prefer_css_page_size=True, outline=True, tagged=True)
            print(f"dist/keys/{target.name}")


if __name__ == "__main__":
    main()
