"""Lead from each page to the book's other editions, which are published beside it.

A build of the pages makes neither: ``make site`` makes both, and puts them where these links lead.
"""

# Of each edition: where it is, seen from the book's top, and how the menu of downloads names it.
EDITIONS = {
    "pdf": ("learning-fixed-points.pdf", "Whole book", "fas fa-book", "Download the book (PDF)"),
    "lite": (
        "lite/index.html",
        "In the browser",
        "fas fa-play",
        "Run the chapters in your browser",
    ),
}


def add_links(app, page, template, context, doctree):
    """Add the editions to a page's menu of downloads, where it has one."""
    to_top = "../" * page.count("/")
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"] += [
                {
                    "type": "link",
                    "url": to_top + address,
                    "text": text,
                    "icon": icon,
                    "tooltip": tooltip,
                    "label": f"edition-{name}-button",
                }
                for name, (address, text, icon, tooltip) in EDITIONS.items()
            ]


def setup(app):
    """Run when the theme has made the menu."""
    app.connect("html-page-context", add_links, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
