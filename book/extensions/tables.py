"""One row of headings for the tables that pandas makes: the names of the index stand in it.

pandas writes the names of an index into a row of their own, below those of the columns, in which all other
cells are empty.
"""

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform


def merge(html):
    """Return the HTML with a row of names moved up into the row above it."""
    soup = BeautifulSoup(html, "html.parser")
    for table in soup.select("table.dataframe"):
        rows = table.select("thead > tr")
        cells = [row.find_all(["th", "td"]) for row in rows[-2:]]
        if len(cells) < 2 or len(cells[0]) != len(cells[1]):
            continue
        above, names = cells
        levels = len(table.select("tbody tr:first-child > th"))
        if any(cell.get_text(strip=True) for cell in names[levels:]):
            continue
        for cell, name in zip(above[:levels], names, strict=False):
            # What stands there already is what all columns are called: "steps: 100 300".
            of_columns = cell.get_text(strip=True)
            cell["class"] = "name"
            cell.string = name.get_text(strip=True) or (of_columns and f"{of_columns}:")
        rows[-1].decompose()
    return str(soup)


class MergeHeadings(SphinxPostTransform):
    """Do so in every output of a cell."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        """Change the page's tree."""
        for raw in list(self.document.findall(nodes.raw)):
            text = raw.astext()
            if 'class="dataframe"' in text:
                merged = merge(text)
                raw.replace_self(nodes.raw("", merged, format=raw["format"]))


def setup(app):
    """Announce the transform to Sphinx."""
    app.add_post_transform(MergeHeadings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
