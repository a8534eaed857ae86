"""Find the answers in words that a submitted notebook holds, and its figures."""

import re

MARK = re.compile(r"<!-- (BEGIN|END) QUESTION -->(?:\s*#+ (.*))?")


def words(notebook, about):
    """Return the answers in words, {question: Markdown}, and the questions without one.

    Everything between the marks of a question is its answer: added cells, attached pictures, and code with
    what it printed or drew, too.
    """
    answers, question = {}, None
    for cell in notebook.cells:
        asked = False
        # One cell may end a question and begin the next.
        for mark in MARK.finditer(cell.source):
            asked = True
            question = (
                about["headings"].get((mark[2] or "").strip()) if mark[1] == "BEGIN" else None
            )
        if (
            question
            and not asked
            and cell.source.strip()
            and not cell.source.startswith("_Type your answer here")
        ):
            text = code(cell) if cell.cell_type == "code" else attached(cell)
            answers[question] = answers.get(question, "") + text + "\n\n"
    return answers, [question for question in about["words"] if question not in answers]


def figures(notebook, about):
    """Return the figures outside of the answers in words, which hold their own, each as Markdown."""
    found, inside = [], False
    for cell in notebook.cells:
        for mark in MARK.finditer(cell.source):
            inside = mark[1] == "BEGIN" and (mark[2] or "").strip() in about["headings"]
        if not inside:
            found += pictures(cell)
    return found


def code(cell):
    """Return a cell of code with what it printed, returned and drew."""
    shown = [fenced(cell.source, "python")]
    for out in cell.get("outputs", []):
        text = out.get("text") or out.get("data", {}).get("text/plain", "")
        if text and "image/png" not in out.get("data", {}):
            shown.append(fenced("".join(text)))
    return "\n\n".join([*shown, *pictures(cell)])


def pictures(cell):
    """Return what a cell of code drew."""
    outputs = [out.get("data", {}).get("image/png", "") for out in cell.get("outputs", [])]
    return [picture("image/png", png) for png in outputs if png]


def attached(cell):
    """Return a cell of text with the pictures that are attached to it put in their places."""
    text = cell.source
    for name, content in cell.get("attachments", {}).items():
        for kind, data in content.items():
            text = re.sub(
                rf"!\[[^\]]*\]\(attachment:{re.escape(name)}\)", picture(kind, data), text
            )
    return text


def picture(kind, data):
    """Return a picture as Markdown that holds it whole."""
    return f"![](data:{kind};base64,{''.join(''.join(data).split())})"


def fenced(text, language=""):
    """Return text as a block of code, whatever is in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
