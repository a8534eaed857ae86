"""A page of the book as a notebook in plain Markdown, which every viewer of notebooks shows alike.

The page's tree has everything in its final form: numbers, titles, citations, where links lead. Here it is
written as Markdown without directives and roles, cut at the cells with code.
"""

import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import nbformat
from docutils import nodes
from ipykernel.ipkernel import IPythonKernel

FOLD = "<details>\n<summary><b>{title}</b></summary>\n\n{text}\n\n</details>"
CODE = "cell_code"
LONG = 5  # seconds, from which on a reader is told
WAIT = "*The next cell took {time} when the book was built.*"
BOXES = {"admonition", "note", "tip", "warning", "important", "seealso", "topic"}


@dataclass(frozen=True)
class Page:
    """What the tree of a page does not say: its address, and the numbers on it."""

    address: str
    figures: dict  # of each kind of numbered thing, from its id to its number
    sections: dict  # from a section's anchor to its number

    def number(self, kind, node):
        """Return the number of an equation, a figure, a theorem or an exercise, as the page prints it."""
        found = [self.figures.get(kind, {}).get(name) for name in node["ids"]]
        return next((".".join(map(str, number)) for number in found if number), "")


@dataclass(frozen=True)
class Text:
    """A block of Markdown, and the title that it is folded under, if any."""

    text: str
    fold: str | None = None


@dataclass(frozen=True)
class Code:
    """The cell of this index, what is said beneath it, and the title that it is folded under, if any."""

    index: int
    caption: str = ""
    alts: tuple[str, ...] = ()
    fold: str | None = None


# ---- Inside a line ----
def escaped(text):
    """Return text that no Markdown takes for more than text."""
    text = re.sub(r"([\\`*_$])", r"\\\1", re.sub(r"\s*\n\s*", " ", text))
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def formula(tex):
    """Return TeX on one line in which nothing looks like a tag of HTML."""
    return re.sub(r"<(?=[\w/!?])", r"\\lt ", re.sub(r"\s+", " ", tex).strip())


def inline(node, page):
    """Return the Markdown of what stands inside a line; without a page, of one that links to nothing."""
    text = "".join(word(child, page) for child in node.children)

    def written(anchor):  # a link in HTML
        return f"[{anchor[2]}]({urljoin(page.address, anchor[1])})" if page else anchor[2]

    return re.sub(r'<a href="([^"]*)">(.*?)</a>', written, text)


def word(node, page):
    """Return the Markdown of one node inside a line."""
    if isinstance(node, nodes.Text):
        return escaped(node.astext())
    if isinstance(node, nodes.math):
        return f"${formula(node.astext())}$"
    if isinstance(node, nodes.literal):
        return f"`{node.astext()}`"
    if isinstance(node, nodes.image):
        return f"![{escaped(node.get('alt', ''))}]({urljoin(page.address, node['uri'])})"
    if isinstance(node, nodes.raw):
        return node.astext()
    if "heading" in node.get("classes", []):
        return ""  # of a table's column, repeated for a phone
    text = inline(node, page)
    if isinstance(node, nodes.reference):
        return link(text, node, page)
    mark = {"emphasis": "*", "strong": "**", "title_reference": "*"}.get(node.tagname, "")
    if not mark or not text.strip():
        return text
    space = re.match(r"(\s*).*?(\s*)\Z", text)
    before, after = space.groups() if space else ("", "")
    return f"{before}{mark}{text.strip()}{mark}{after}"


def link(text, node, page):
    """Return a link to where it leads on the book's site."""
    if page is None:
        return text
    target = node.get("refuri") or ("#" + node["refid"] if "refid" in node else "")
    return f"[{text}]({urljoin(page.address, target)})" if target and text else text


# ---- Blocks ----
def blocks(node, page):
    """Return the Markdown of all that a node holds."""
    return "\n\n".join(text for child in node.children if (text := block(child, page)))


def block(node, page):
    """Return the Markdown of a block."""
    if "toctree-wrapper" in node.get("classes", []):
        return ""
    write = BLOCKS.get(node.tagname)
    if write is None:
        raise ValueError(
            f"no way is known to write {node.tagname} in Markdown: {node.astext()[:60]}"
        )
    return write(node, page)


def paragraph(node, page):
    """Return a paragraph on one line, which nothing at its start makes a list or a heading."""
    if "checked" in node.get("classes", []):
        return ""  # a mark of the page, beside its equations
    return re.sub(r"\A(\d*)([-+#>.)] )", r"\1\\\2", inline(node, page).strip())


def display(node, page):
    """Return a formula of its own, with its number, on one line: in a list or a box, too."""
    number = page.number("displaymath", node)
    tag = f" \\tag{{{number}}}" if number else ""
    body = formula(node.astext())
    if "&" in body or r"\\" in body:
        if r"\begin{" not in body:
            body = rf"\begin{{aligned}} {body} \end{{aligned}}"
    return f"$$ {body}{tag} $$"


def indented(text, first, rest):
    """Return text whose lines begin with what makes it part of a list or a box."""
    lines = text.split("\n")
    return "\n".join([first + lines[0], *((rest + line).rstrip() for line in lines[1:])])


def bullets(node, page):
    """Return a list."""
    items = [indented(blocks(item, page), "- ", "  ") for item in node.children]
    return "\n".join(items)


def numbered(node, page):
    """Return a list with numbers."""
    start = node.get("start", 1)
    items = [
        indented(blocks(item, page), f"{number}. ", " " * len(f"{number}. "))
        for number, item in enumerate(node.children, start)
    ]
    return "\n".join(items)


def definitions(node, page):
    """Return terms and what is said of them."""
    written = []
    for item in node.children:
        terms = ", ".join(f"**{inline(term, page).strip()}**" for term in item.findall(nodes.term))
        said = [blocks(part, page) for part in item.findall(nodes.definition)]
        written.append(indented("\n\n".join([terms, *said]), "- ", "  "))
    return "\n".join(written)


def listing(node, page):
    """Return code or what it printed."""
    language = node.get("language", "").replace("ipython3", "python")
    language = language if language in {"python", "bash", "console", "yaml"} else ""
    return f"```{language}\n{node.astext()}\n```"


def row(entries, page):
    """Return a row of a table; a bar in a formula would end its cell."""
    cells = []
    for entry in entries:
        text = blocks(entry, page).replace("\n\n", "<br>").replace("\n", " ")
        cells.append(re.sub(r"\$[^$]+\$", without_bars, text))
    return "| " + " | ".join(cells) + " |"


def without_bars(found):
    """Return a formula in which bars have names."""
    return found[0].replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def table(node, page):
    """Return a table."""
    title = [f"**{inline(t, page)}**" for t in node.children if isinstance(t, nodes.title)]
    rows = [
        (r.parent.tagname, [e for e in r.children if isinstance(e, nodes.entry)])
        for r in node.findall(nodes.row)
    ]
    head = [row(entries, page) for part, entries in rows if part == "thead"]
    body = [row(entries, page) for part, entries in rows if part != "thead"]
    width = len(rows[0][1])
    head = head or ["|" + "  |" * width]
    lines = "\n".join([head[0], "|" + " --- |" * width, *head[1:], *body])
    return "\n\n".join([*title, lines])


def boxed(title, text):
    """Return text in a box: a quotation that begins with its title."""
    return indented("\n\n".join(part for part in (title, text) if part), "> ", "> ")


def box(node, page):
    """Return a note, or what is opened by a click."""
    folded = "dropdown" in node.get("classes", [])
    titles = [t for t in node.children if isinstance(t, nodes.title)]
    title = "".join(inline(t, None if folded else page) for t in titles)
    rest = [child for child in node.children if not isinstance(child, nodes.title)]
    text = "\n\n".join(written for child in rest if (written := block(child, page)))
    if folded:
        return FOLD.format(title=title or "Proof", text=text)
    return boxed(f"**{title}**" if title else "", text)


def statement(node, page):
    """Return a theorem, a definition, and so on, with its number and title."""
    kind = node.get("realtype", "")
    number = page.number(node.get("countertype", kind), node)
    title, *rest = node.children
    named = f"{kind.title()} {number}".strip()
    text = "\n\n".join(written for child in rest if (written := block(child, page)))
    return boxed(f"**{named}** {inline(title, page).strip()}".strip(), text)


def proof(node, page):
    """Return a proof: what is folded on the page is folded here."""
    return blocks(node, page)


def exercise(node, page):
    """Return an exercise with its number and title."""
    title, *rest = node.children
    named = f"Exercise {page.number('exercise', node)}".strip()
    text = "\n\n".join(written for child in rest if (written := block(child, page)))
    return boxed(f"**{named}** {inline(title, page).strip()}".strip(), text)


def figure(node, page):
    """Return a picture and what is written beneath it."""
    pictures = [word(image, page) for image in node.findall(nodes.image)]
    return "\n\n".join([*pictures, caption(node, page)])


def caption(node, page):
    """Return a figure's number and caption."""
    number = page.number("figure", node)
    for text in node.findall(nodes.caption):
        return f"**Fig. {number}** {inline(text, page)}" if number else inline(text, page)
    return ""


def tab(node, page):
    """Return the title of one of several ways to do a thing, which here stand one after the other."""
    return f"**{node.astext()}**"


def moving(node, page):
    """Say where to find what moves by scripts of the page."""
    toy = 'class="toy"' in node.astext()
    return f"*What you can drag is on [the page]({page.address}).*" if toy else ""


def nothing(node, page):
    """Leave out what a notebook has no use for."""
    return ""


BLOCKS = {
    **dict.fromkeys(BOXES, box),
    "paragraph": paragraph,
    "math_block": display,
    "bullet_list": bullets,
    "enumerated_list": numbered,
    "definition_list": definitions,
    "literal_block": listing,
    "table": table,
    "figure": figure,
    "image": word,
    "title": lambda node, page: f"**{inline(node, page)}**",
    "caption": lambda node, page: f"**{inline(node, page)}**",
    "rubric": lambda node, page: f"**{inline(node, page)}**",
    "transition": lambda node, page: "---",
    "block_quote": lambda node, page: boxed("", blocks(node, page)),
    "exercise_enumerable_node": exercise,
    "proof_node": proof,
    "sd_tab_label": tab,
    **dict.fromkeys(["section", "container", "compound", "compact_paragraph"], blocks),
    # "raw" is what moves on the page, by scripts of the page.
    **dict.fromkeys(
        ["target", "comment", "raw", "toctree", "sd_tab_input", "meta", "index"], nothing
    ),
    **{f"{kind}_node": statement for kind in ("theorem", "definition", "lemma", "corollary")},
    **{f"{kind}_node": statement for kind in ("proposition", "remark", "example", "algorithm")},
}


# ---- The page, in pieces ----
def pieces(node, page, level=1, fold=None):
    """Yield a page's blocks and cells with code, in the order in which they are read."""
    for child in node.children:
        if isinstance(child, nodes.title):
            yield Text(f"{'#' * level} {heading(child, page)}", fold)
        elif child.get("nb_element") == CODE:
            yield code(child, page, fold)
        elif child.tagname == "solution_node":
            title, *rest = child.children
            under = inline(title, None).strip()
            for part in rest:
                yield from pieces(part, page, level + 1, under)
        elif isinstance(child, nodes.section):
            yield from pieces(child, page, level + (not isinstance(node, nodes.document)), fold)
        elif text := block(child, page):
            yield Text(text, fold)


def heading(title, page):
    """Return a heading with the number that the page gives it."""
    anchors = ["", *("#" + name for name in title.parent["ids"])]
    top = isinstance(title.parent.parent, nodes.document)
    found = [page.sections.get(anchor) for anchor in (anchors if top else anchors[1:])]
    number = next((".".join(map(str, number)) for number in found if number), "")
    return f"{number}. {inline(title, page)}" if number else inline(title, page)


def code(node, page, fold):
    """Return a cell with code: its index, and what the page writes beneath its figure."""
    figures = list(node.findall(nodes.figure))
    alts = tuple(image.get("alt", "") for image in node.findall(nodes.image))
    captions = "\n\n".join(caption(f, page) for f in figures)
    return Code(node["cell_index"], captions, alts, fold)


# ---- The notebook ----
def notebook_of(found, executed):
    """Return a notebook of these pieces, and of the cells that the page does not show, which must run too."""
    hidden = [i for i, cell in enumerate(executed.cells) if cell.cell_type == "code"]
    seconds = dict(zip(hidden, executed.metadata.get("seconds", []), strict=False))
    cells, text, begun = [], [], set()

    def write():
        if text:
            cells.append(markdown(text, text[0].fold in begun))
            begun.add(text[0].fold)
            text.clear()

    for piece in found:
        if isinstance(piece, Text):
            if text and (piece.fold != text[0].fold or piece.text.startswith("#")):
                write()
            text.append(piece)
            continue
        write()
        while hidden and hidden[0] <= piece.index:
            index = hidden.pop(0)
            shown = index == piece.index
            if (time := seconds.get(index, 0)) >= LONG:
                cells.append(nbformat.v4.new_markdown_cell(WAIT.format(time=spoken(time))))
            cells.append(code_cell(executed.cells[index], piece if shown else None))
        if piece.caption:
            text.append(Text(piece.caption, piece.fold))
    write()
    cells += [code_cell(executed.cells[index], None) for index in hidden]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    # As JupyterLab writes both: else it would change a notebook that is only opened.
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": IPythonKernel.language_info}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def spoken(seconds):
    """Return how long that is, in words."""
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} seconds"
    minutes = round(seconds / 60)
    return "about a minute" if minutes == 1 else f"about {minutes} minutes"


def markdown(parts, goes_on):
    """Return a cell with text, folded if its parts are."""
    text, fold = "\n\n".join(part.text for part in parts), parts[0].fold
    if fold is None:
        return nbformat.v4.new_markdown_cell(text)
    title = f"{fold}, continued" if goes_on else fold
    return nbformat.v4.new_markdown_cell(FOLD.format(title=title, text=text))


def code_cell(cell, piece):
    """Return a cell with code as a reader gets it; one without a piece is not shown on the page."""
    tags = set(cell.metadata.get("tags", []))
    folded = piece is None or piece.fold is not None
    metadata = {}
    if folded or tags & {"hide-input", "remove-input", "hide-cell"}:
        metadata = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # the second, on Colab
    if folded or tags & {"hide-output", "hide-cell"}:
        metadata["jupyter"] = metadata.get("jupyter", {}) | {"outputs_hidden": True}
    alts = list(piece.alts) if piece else []
    outputs = [kept for output in cell.outputs if (kept := output_of(output, alts))]
    return nbformat.v4.new_code_cell(
        cell.source, metadata=metadata, outputs=outputs, execution_count=cell.execution_count
    )


def output_of(output, alts):
    """Return an output in forms that a notebook shows before it is trusted; None where nothing is left."""
    if "data" not in output:
        return output
    data = {kind: value for kind, value in output.data.items() if "papermill" not in kind}
    if "image/png" in data:
        data.pop("image/svg+xml", None)
        if "explore" in data.get("text/html", ""):
            shown = re.search(r'<img src="[^"]*" alt="([^"]*)"', data.pop("text/html"))
            alts = [html.unescape(shown[1])] if shown else []
    if not data:
        return None
    kept: Any = nbformat.from_dict({**output, "data": data})
    image = dict(kept.metadata.get("image/png", {}))
    if "image/png" in data and alts and alts[0]:
        image["alt"] = alts.pop(0)
    kept.metadata = {"image/png": image} if image else {}
    return kept
