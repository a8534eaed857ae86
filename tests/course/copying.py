"""Look for the answers to a problem set in what its students get: code, public tests and formulas.

Every expression in the notebook's code is tried as an answer to every question, with the assignments before
it, and so is every formula in its text. One that gives what is right on the practice instances gives the
answer away.
"""

import ast
import itertools
import json
import re
import warnings
from pathlib import Path

import numpy as np

from tests.course import direct

ROOT = Path(__file__).parents[2]


# ---- What is right ----
def instances(notes):
    """Return [(arguments, sealed result)] of a question's practice instances that are no special cases."""
    grading = direct.module("grading")
    found = []
    for note in notes:
        (call, *more) = note["calls"]
        if (
            more
            or note["shape"] is None
            or note["inverse"]
            or call["names"]
            or max(note["shape"], default=2) == 1
        ):
            continue
        found.append(([grading._unpacked(arg) for arg in call["args"]], note["want"]))
    return found[:2]


def opens(value, seal):
    """Return whether a value is the result that a seal holds."""
    try:
        value = np.asarray(value, float)
        if not np.isfinite(value).all():
            return False
    except (TypeError, ValueError):
        return False
    return direct.module("grading").unsealed(value, seal) is not None


def parameters(name, question):
    """Return the names of a question's arguments."""
    (node,) = [
        n
        for n in ast.parse(direct.solution(name, question)).body
        if isinstance(n, ast.FunctionDef) and n.name == question
    ]
    return [arg.arg for arg in node.args.args]


def given(names, args):
    """Return the names that an answer has at hand: its arguments, and their sizes."""
    known: dict = dict(zip(names, args, strict=False)) | {"np": np}
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    if arrays:
        known |= {"n": arrays[0].shape[-1], "I": np.eye(arrays[0].shape[-1])}
    if arrays and arrays[-1].ndim == 2:
        known |= {"m": len(arrays[-1])}
    return known


# ---- Code ----
def flat(body):
    """Return the statements of a function, of what is in its loops and conditions too, in order."""
    for node in body:
        if isinstance(node, (ast.For, ast.If, ast.With, ast.Try)):
            yield from flat(node.body)
        elif isinstance(node, ast.FunctionDef):
            if node.name.startswith("test_"):
                yield from flat(node.body)
            else:
                yield node
                yield from flat(node.body)
        else:
            yield node


def in_code(source, name, notes):
    """Return {question: expression} for the answers that a piece of code gives away."""
    found = {}
    statements = list(flat(ast.parse(source).body))
    for question, noted in notes.items():
        names, cases = parameters(name, question), instances(noted)
        if not cases:
            continue
        spaces = [letters(names, args) for args, _ in cases]
        for statement in statements:
            for node in ast.walk(statement):
                if isinstance(node, (ast.BinOp, ast.Call, ast.UnaryOp, ast.ListComp)) and all(
                    matches(node, space, names, want)
                    for space, (_, want) in zip(spaces, cases, strict=True)
                ):
                    found.setdefault(question, ast.unparse(node))
            targets = {
                n.id
                for n in ast.walk(statement)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            if targets & {*names, "np"} or "grading" in ast.unparse(statement):
                continue
            for space in spaces:
                try:
                    exec(compile(ast.Module([statement], []), "copied", "exec"), space)
                except Exception:
                    pass
    return found


def matches(node, space, names, want):
    """Return whether an expression gives what is right, its other names standing for any arguments."""
    loaded = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    unknown = sorted(
        loaded
        - set(space)
        - set(dir(__builtins__))
        - {"sum", "len", "zip", "abs", "max", "min", "float", "range"}
    )
    if len(unknown) > 2 or "grading" in loaded or "env" in loaded:
        return False
    code = compile(ast.Expression(node), "copied", "eval")
    for choice in itertools.product(names, repeat=len(unknown)):
        try:
            value = eval(code, space | {u: space[c] for u, c in zip(unknown, choice, strict=True)})
        except Exception:
            continue
        if opens(value, want):
            return True
    return False


# ---- Formulas ----
LETTERS = {
    r"\nabla_{\!A} J": "dA", r"\nabla_{\!A}J": "dA", r"\nabla J": "dJ", r"\nabla_{\!W} J": "dJ",
    r"\eta": "lr", r"\lambda": "adjoint",
    r"\,": " ", r"\!": "", r"\;": " ", r"\bigl": "", r"\bigr": "", r"\left": "", r"\right": "",
    r"\tau": "tau",
    r"^{\mathsf T}": "'", r"^{-1}": "~", r"\Delta W_2": "?", r"\Delta W_3": "?", "[": "(", "]": ")",
}  # fmt: skip


def formulas(text):
    """Yield the formulas in a text, and the sides of their equations."""
    for display, inline in re.findall(r"\$\$(.*?)\$\$|\$(.*?)\$", text, re.S):
        for side in re.split(r"=|\\approx|\\le|\\ge|\\propto", display or inline):
            yield side.strip(" .,;\n")


def value_of(formula, space):
    """Return the value of a formula in matrices, in which a product has no sign; raise if it is none."""
    for latex, letter in LETTERS.items():
        formula = formula.replace(latex, letter)
    tokens = re.findall(r"d[WAJx]\b|lr|tau|adjoint|[A-Za-z]|[-+()/'~]|\d+|\S", formula)

    def total(position):
        sign, position = (-1, position + 1) if tokens[position] == "-" else (1, position)
        value, position = product(position)
        value = sign * value
        while position < len(tokens) and tokens[position] in "+-":
            more, after = product(position + 1)
            value = value + more if tokens[position] == "+" else value - more
            position = after
        return value, position

    def product(position):
        value, position = factor(position)
        while position < len(tokens) and tokens[position] not in "+-)":
            if tokens[position] == "/":
                more, position = factor(position + 1)
                value = value / more
                continue
            more, position = factor(position)
            value = value * more if np.ndim(value) == 0 or np.ndim(more) == 0 else value @ more
        return value, position

    def factor(position):
        token = tokens[position]
        if token == "(":
            value, position = total(position + 1)
            if tokens[position] != ")":
                raise ValueError(formula)
        else:
            value = float(token) if token.isdigit() else space[token]
        position += 1
        while position < len(tokens) and tokens[position] in "'~":
            value = np.transpose(value) if tokens[position] == "'" else np.linalg.inv(value)
            position += 1
        return value, position

    value, position = total(0)
    if position != len(tokens):
        raise ValueError(formula)
    return value


def letters(names, args):
    """Return what the letters in formulas stand for."""
    space = given(names, args)
    if np.ndim(space.get("W", 0)) == 2 and len(set(np.shape(space["W"]))) == 1:
        space["B"] = np.eye(len(space["W"])) - space["W"]
        space["A"] = np.linalg.inv(space["B"])
    if np.ndim(space.get("g", 0)) == 1:
        space["G"] = np.diag(space["g"])
    return space


def in_prose(text, name, notes):
    """Return {question: formula} for the answers that a text gives away."""
    found = {}
    for question, noted in notes.items():
        names, cases = parameters(name, question), instances(noted)
        for formula in formulas(text):
            for rate in (1.0, -1.0):  # where a question has no learning rate
                right = []
                for args, want in cases:
                    try:
                        right.append(
                            opens(value_of(formula, {"lr": rate} | letters(names, args)), want)
                        )
                    except Exception:  # no formula of this question's letters
                        right.append(False)
                if right and all(right):
                    found.setdefault(question, formula)
    return found


def leaks(name, notes):
    """Return {question: what gives it away} for the student version of a set."""
    path = ROOT / "dist" / "student" / name / f"{name}.ipynb"
    assert path.exists(), "run: make assignments"
    content = json.loads(path.read_text(encoding="utf-8"))
    code = [*content["metadata"]["otter"]["tests"].values()]
    prose = []
    for cell in content["cells"]:
        (code if cell["cell_type"] == "code" else prose).append("".join(cell["source"]))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in code:
            found |= in_code(source, name, notes)
        found |= in_prose(
            "\n\n".join([*prose, *re.findall(r'"""(.*?)"""', "\n".join(code), re.S)]), name, notes
        )
    return found
