"""A function of a chapter does the same before and after the rest of the chapter has run."""

import ast
import symtable

import jupytext
import pytest

from tests.book.notebooks import ROOT, chapters

OWN = (
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)  # whose variables are theirs
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def names_bound(code):
    """Return the names that a cell binds outside of its functions."""
    found, ahead = set(), [ast.parse(code)]
    while ahead:
        node = ahead.pop()
        if isinstance(node, DEFINITIONS):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif not isinstance(node, OWN):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            ahead += ast.iter_child_nodes(node)
    return found


def globals_read(code):
    """Return the globals that each function of a cell reads, under the function's name."""
    found = {}

    def collect(table, name):
        for inner in table.get_children():
            outer = name or inner.get_name()
            if inner.get_type() == "function":
                read = {s.get_name() for s in inner.get_symbols() if s.is_global()}
                found.setdefault(outer, set()).update(read)
            collect(inner, outer)

    collect(symtable.symtable(code, "cell", "exec"), None)
    comprehensions = {"listcomp", "setcomp", "dictcomp", "genexpr"}  # done when the cell is
    return {name: read for name, read in found.items() if name not in comprehensions}


def rebound(cells):
    """Return (cell, function, global) for each function whose global a later cell binds anew."""
    bound = [names_bound(cell) for cell in cells]
    faults = []
    for i, cell in enumerate(cells):
        before, after = set().union(*bound[: i + 1]), set().union(*bound[i + 1 :])
        for function, read in globals_read(cell).items():
            if function != "lambda":
                faults += [(i, function, name) for name in sorted(read & before & after)]
    return faults


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.stem)
def test_no_function_reads_a_global_that_a_later_cell_rebinds(chapter):
    cells = [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
    assert rebound(cells) == []


def test_such_a_function_is_found():
    draw = "starts = {1: 2}\ndef draw(w):\n    return [starts[w] for _ in range(w)]"
    assert rebound([draw, "for starts in (1, 2): pass"]) == [(0, "draw", "starts")]
    assert rebound([draw, "later = [starts for starts in (1, 2)]"]) == []
    assert rebound([draw, "def other(starts):\n    starts = 1"]) == []
