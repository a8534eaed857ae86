"""Let the search find what has a number: "eq. 5.3", "theorem 6.1", "exercise 4.2", "fig. 1.1".

The search compares what is typed with the titles of sections. Everything with a number is put among them;
``find.js`` turns an abbreviation into the title's words.
"""

KINDS = {
    "displaymath": "Equation",
    "figure": "Figure",
}  # as they are called; others by their own name


def numbered(env, page):
    """Yield (title, id) for each equation, theorem, exercise and figure of a page."""
    for kind, numbers in env.toc_fignumbers.get(page, {}).items():
        for name, number in numbers.items():
            yield f"{KINDS.get(kind, kind.capitalize())} {'.'.join(map(str, number))}", name


def add_titles(app):
    """Add them to the index of the search, which is written after this event."""
    index = getattr(app.builder, "indexer", None)
    if index is None:
        return []
    for page in app.env.found_docs:
        new = list(numbered(app.env, page))
        names = {name for _, name in new}
        old = [title for title in index._all_titles.get(page, []) if title[1] not in names]
        index._all_titles[page] = old + new
    return []


def setup(app):
    """Connect it to the last event before the index is written."""
    app.connect("html-collect-pages", add_titles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
