"""The generated notebooks of the problem sets, and what students do to them."""

import copy
import json
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def _read(version, name):
    path = ROOT / "dist" / version / name / f"{name}.ipynb"
    assert path.exists(), "run: make assignments"
    return json.loads(path.read_text(encoding="utf-8"))


def notebook(version, name):
    """Return a generated notebook, as parsed JSON."""
    return copy.deepcopy(_read(version, name))


def answer(cells, question):
    """Return the cell that defines the function of a question."""
    (cell,) = [
        cell for cell in cells if re.search(rf"^def {question}\(", "".join(cell["source"]), re.M)
    ]
    return cell


def mended(content, answers):
    """Return a notebook with other sources for some answers, {question: source}; None deletes the cell."""
    for question, source in answers.items():
        cell = answer(content["cells"], question)
        if source is None:
            content["cells"].remove(cell)
        else:
            cell["source"] = source
    return content


def code_cell(source):
    """Return a cell of code."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"id-{abs(hash(source))}",
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def words_cells(*texts):
    """Return cells of text."""
    return [
        {"cell_type": "markdown", "id": f"id-{abs(hash(text))}", "metadata": {}, "source": text}
        for text in texts
    ]


def points_of(name):
    """Return {question: points} of the code and of the written questions of a master."""
    text = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"# BEGIN QUESTION\nname: (\S+)\n(manual: true\n)?points: (\d+)\n", text)
    code = {question: int(points) for question, manual, points in found if not manual}
    return code, {question: int(points) for question, manual, points in found if manual}
