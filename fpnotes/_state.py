"""The state of a learning rule: how it is copied for a run, and stored to go on with later.

A rule is a function, or an object that can be called, and may remember: in the attributes of objects, the
variables of an enclosing function, default values, whatever a partial function has filled in. All of it
is walked here, through rules that hold rules. What is global, or belongs to a class, is not a rule's own.
"""

import copy
import copyreg
import dis
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from fpnotes._data import checksum, decode, encode, text_of

__all__ = ["Checkpoint", "copied_rule", "has_state", "rule_name"]

CONSTANTS = (type(None), bool, int, float, complex, str, bytes, range, np.generic, np.dtype)
PYTHON = "{}.{}".format(*sys.version_info)
NAMED = (type, ModuleType, BuiltinFunctionType, np.ufunc)


def rule_name(rule):
    """Return what messages call a rule."""
    name = getattr(rule, "__name__", None)
    if isinstance(name, str):
        return name
    return rule_name(rule.func) if isinstance(rule, partial) else type(rule).__name__


def has_state(value, seen=None):
    """Return whether calling ``value`` can change something that belongs to it."""
    seen = set() if seen is None else seen
    if isinstance(value, (*CONSTANTS, *NAMED)) or id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.flags.writeable or value.base is not None or value.dtype == object
    if isinstance(value, FunctionType):
        if not _assigned(value.__code__).isdisjoint(value.__code__.co_freevars):
            return True
        # A function that knows itself can keep things as its own attributes.
        if any(part is value for _, part in _parts(value)) and "." in _assigned(value.__code__):
            return True
    elif type(value) not in (partial, tuple, frozenset):
        return True
    return any(has_state(part, seen) for _, part in _parts(value))


def copied_rule(rule) -> Any:
    """Return a copy of a rule that shares no state with it.

    Raises
    ------
    TypeError
        When something that the rule holds cannot be copied.
    """
    try:
        return _copied(rule, {}, {}, "rule")
    except Exception as error:
        raise TypeError(
            f"rule {rule_name(rule)} cannot be copied ({type(error).__name__}: {error}). Every run works on "
            "a copy, so that a rule's state starts as it was given; a generator, an open file or a lock has "
            "no copy. Make it inside the rule when it is called; a schedule can be given as lr, a "
            "function of the step"
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs besides its weights to go on: all plain text, numbers and arrays.

    Attributes
    ----------
    rule, values, code, python : str
        The rule's name, checksums of what it was given and of its code, and the Python they hold for.
    changes : str
        What has changed in the rule since it was given, as JSON.
    arrays : tuple of arrays
        The arrays in it.
    problem : str
        Why the rule's state could not be stored; empty if it is.
    seed : int or None
        Of the order of batches.
    batch : (int, int)
        The step and the checksum of the last batch seen.
    """

    rule: str
    values: str
    code: str
    python: str
    changes: str
    arrays: tuple[np.ndarray, ...]
    problem: str
    seed: int | None
    batch: tuple[int, int]

    @classmethod
    def of(cls, rule: Any, given: Any, seed: int | None, batch: tuple[int, Any]) -> "Checkpoint":
        """Store the state of ``rule``, which started as ``given``."""
        changes, problem = _Changes(), ""
        try:
            _compare(rule, given, "rule", changes, set())
            again = _copied(given, {}, _decoded(changes.by_path, changes.arrays), "rule")
            rest = _Changes()
            _compare(rule, again, "rule", rest, set())
            if rest.by_path:
                raise TypeError(f"{min(rest.by_path)} is shared in a way that cannot be stored")
        except Exception as error:  # whatever it is, the run is finished and must not be lost
            changes, problem = _Changes(), str(error) or type(error).__name__
        values, code = _checksums(given)
        return cls(
            rule=rule_name(given),
            values=values,
            code=code,
            python=PYTHON,
            changes=json.dumps(changes.by_path),
            arrays=tuple(array.copy() for array in changes.arrays),
            problem=problem,
            seed=seed,
            batch=batch,
        )

    def restored(self, rule: Any) -> Any:
        """Return a copy of ``rule`` in the stored state.

        Raises
        ------
        ValueError
            When it is another rule, or its state could not be stored.
        """
        values, code = _checksums(rule)
        other = (rule_name(rule), values) != (self.rule, self.values)
        if other or (self.python == PYTHON and code != self.code):
            raise ValueError(
                f"resume holds a run of another rule: {self.rule}, and not {rule_name(rule)}, or not with "
                "the same parameters, code and state to begin with"
            )
        if self.problem:
            raise ValueError(
                f"resume cannot go on: the state of rule {self.rule} is not stored, since {self.problem}"
            )
        copied_rule(rule)  # raises what says why there must be a copy
        return _copied(rule, {}, _decoded(json.loads(self.changes), self.arrays), "rule")


def _decoded(changes, arrays):
    arrays, known = [array.copy() for array in arrays], {}
    return {path: decode(value, arrays, known) for path, value in changes.items()}


# ---- Walking a rule ----


def _is_plain(value):
    """Return whether an object is its attributes, and its class does not say how to copy it."""
    kind = type(value)
    return (
        kind.__new__ is object.__new__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and getattr(kind, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not hasattr(kind, "__deepcopy__")
        and not any(base.__dict__.get("__slots__") for base in kind.__mro__)
        and kind not in copyreg.dispatch_table
        and hasattr(value, "__dict__")
    )


def _parts(value) -> Iterator[tuple[str, Any]]:
    """Yield what a rule, or something in it, consists of: how it is reached, and what it is now."""
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((f"<{name}>", cell.cell_contents) for name, cell in cells if cell != CellType())
        for i, default in enumerate(value.__defaults__ or ()):
            yield f"({i})", default
        for name, default in (value.__kwdefaults__ or {}).items():
            yield f"({name})", default
        yield from ((f".{name}", part) for name, part in value.__dict__.items())
    elif type(value) is partial:
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, MethodType):
        yield from ((".__func__", value.__func__), (".__self__", value.__self__))
    elif type(value) in (list, tuple):
        yield from ((f"[{i}]", item) for i, item in enumerate(value))
    elif type(value) is dict:
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif not isinstance(value, (*CONSTANTS, *NAMED, np.ndarray)) and _is_plain(value):
        yield from ((f".{name}", part) for name, part in vars(value).items())


@lru_cache(maxsize=256)
def _assigned(code):
    """Return the variables of enclosing functions that the code assigns to, and "." if to attributes."""
    names = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF"):
            names.add(instruction.argval)
        elif instruction.opname == "STORE_ATTR":
            names.add(".")
    return names.union(*(_assigned(c) for c in code.co_consts if isinstance(c, CodeType)))


def _copied(value, memo, changes, path) -> Any:
    """Copy ``value``, with what ``changes`` says for this path and those that go on from it."""
    if path in changes:
        return changes[path]
    if id(value) in memo:
        return memo[id(value)]
    if not has_state(value):
        return value

    def part(name, old):
        return _copied(old, memo, changes, path + name)

    if isinstance(value, FunctionType):
        old_cells = value.__closure__ or ()
        fresh = [cell for cell in old_cells if id(cell) not in memo]
        memo.update({id(cell): CellType() for cell in fresh})
        cells = tuple(memo[id(cell)] for cell in old_cells)
        new = FunctionType(
            value.__code__, value.__globals__, value.__name__, value.__defaults__, cells
        )
        new.__qualname__, new.__doc__ = value.__qualname__, value.__doc__
        new.__module__ = value.__module__
        memo[id(value)] = new
        for name, cell in zip(value.__code__.co_freevars, old_cells, strict=True):
            if not any(cell is one for one in fresh):
                continue
            if cell != CellType():
                memo[id(cell)].cell_contents = part(f"<{name}>", cell.cell_contents)
            elif f"{path}<{name}>" in changes:  # bound since
                memo[id(cell)].cell_contents = changes[f"{path}<{name}>"]
        if value.__defaults__:
            new.__defaults__ = tuple(part(f"({i})", d) for i, d in enumerate(value.__defaults__))
        if value.__kwdefaults__:
            new.__kwdefaults__ = {k: part(f"({k})", d) for k, d in value.__kwdefaults__.items()}
        new.__dict__.update({k: part(f".{k}", v) for k, v in value.__dict__.items()})
        new.__dict__.update(changes.get(path + "+", {}))
        return new
    if type(value) is partial:
        args = part(".args", value.args)
        return partial(part(".func", value.func), *args, **part(".keywords", value.keywords))
    if isinstance(value, MethodType):
        return MethodType(part(".__func__", value.__func__), part(".__self__", value.__self__))
    if type(value) is tuple:
        return tuple(part(f"[{i}]", item) for i, item in enumerate(value))
    if type(value) in (list, dict):
        new = memo[id(value)] = type(value)()
        if isinstance(new, list):
            new.extend(part(f"[{i}]", item) for i, item in enumerate(value))
        else:
            new.update({key: part(f"[{key!r}]", item) for key, item in value.items()})
        return new
    if _is_plain(value):
        new = memo[id(value)] = object.__new__(type(value))
        new.__dict__.update({k: part(f".{k}", v) for k, v in vars(value).items()})
        new.__dict__.update(changes.get(path + "+", {}))
        return new
    return copy.deepcopy(value, memo)


def _compare(now, given, path, stored, seen):
    """Store what of ``now`` is not as in ``given``: by its path, or by its owner's where it is new."""
    if now is given:
        return
    alike = type(now) is type(given)
    try:
        found = text_of(now)
    except TypeError as error:
        problem = f"{path} cannot be stored: {error}"
    else:
        if not alike or found != text_of(given):
            stored.add(path, now)
        return
    if isinstance(now, FunctionType):
        alike = alike and now.__code__ is given.__code__
    parts, before = dict(_parts(now)), dict(_parts(given))
    if not alike or not parts:
        if not alike or not _equal(now, given):
            raise TypeError(problem)
    elif (id(now), id(given)) not in seen:
        seen.add((id(now), id(given)))
        new = {name: part for name, part in parts.items() if name not in before}
        if not before.keys() <= parts.keys() or (new and type(now) in (list, tuple, dict)):
            raise TypeError(problem)
        attributes = {name[1:]: new.pop(name) for name in list(new) if name.startswith(".")}
        if attributes:
            stored.add(path + "+", attributes)
        for name, part in new.items():  # a variable that had no value
            stored.add(path + name, part)
        for name in before:
            _compare(parts[name], before[name], path + name, stored, seen)


class _Changes:
    """Changes by path, with the arrays in them."""

    def __init__(self):
        self.by_path, self.arrays, self.known = {}, [], {}

    def add(self, path, value):
        try:
            self.by_path[path] = encode(value, self.arrays, self.known)
        except TypeError as error:
            raise TypeError(f"{path} cannot be stored: {error}") from None


def _equal(a, b):
    try:
        return bool(a == b)
    except Exception:  # an object with an == of its own
        return False


def _checksums(rule):
    """Return checksums of the names and values in a rule, and of its code.

    ``_identity.fingerprint`` answers another question. It raises where it cannot read a piece, and changes
    with a package's version. A run that is finished must be stored whatever its rule holds, and can go on
    under another Python, where values are to be the same and compiled code cannot be.
    """
    values, code, seen = [], [], set()

    def walk(value, path):
        if isinstance(value, FunctionType):
            values.append(f"{path}: {value.__module__}.{value.__qualname__}")
            code.append(_code_text(value.__code__))
        elif isinstance(value, NAMED):
            values.append(f"{path}: {value.__name__}")
        else:
            try:
                values.append(f"{path}: {text_of(value)}")
                return
            except TypeError:
                values.append(f"{path}: {type(value).__module__}.{type(value).__qualname__}")
                for base in type(value).__mro__:
                    call = base.__dict__.get("__call__")
                    if isinstance(call, FunctionType):
                        code.append(_code_text(call.__code__))
        if id(value) not in seen:
            seen.add(id(value))
            for name, part in _parts(value):
                walk(part, path + name)

    walk(rule, "rule")
    return checksum("\n".join(values)), checksum("\n".join(code))


def _code_text(code):
    def text(constant):
        if isinstance(constant, CodeType):
            return _code_text(constant)
        if isinstance(constant, frozenset):  # whose order is another in every process
            return str(sorted(map(repr, constant)))
        return repr(constant)

    constants = [text(constant) for constant in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
