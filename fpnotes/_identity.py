"""What tells two runs apart: a fingerprint of everything that a rule, a task or an option consists of.

A fingerprint is the same in every process, and differs where anything differs that could change what the
value computes. It reads

* numbers, text and arrays by type and value;
* a function by its code, its defaults, and the values that it finds in its closure and among its globals;
* a class by its name, its bases and what it defines;
* an object by its class and by what a pickle of it would hold;
* what an installed package defines by its name and the package's version; what Python or this package defines
  by its name alone.

Comments, docstrings, line numbers, and the names of files and local variables do not count.
"""

import copyreg
import dis
import hashlib
import re
import reprlib
import types
import zlib
from functools import cached_property, lru_cache, partial
from typing import Any, NoReturn

import numpy as np

from fpnotes._packages import find, package_of

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_DOCSTRING_FLAG = 0x4000000  # of code, from Python 3.13 on
_HEAP_TYPE = 1 << 9  # the flag of classes that are not written in C
_SHORT = reprlib.Repr()
_SHORT.maxother = 80
_LRU_CACHE = type(lru_cache(len))
_OF_A_CLASS = (  # what a class written in C, or a slot, puts where others have functions
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
)
# What a class holds besides what its author wrote.
_NOT_WRITTEN = re.compile(
    r"__(module|qualname|name|doc|dict|weakref|annotations\w*|annotate\w*|firstlineno|static_attributes|"
    r"dataclass_\w+|match_args|orig_bases|parameters|type_params|abstractmethods)__|_abc_impl"
)


def fingerprint(argument, value):
    """Return 64 hexadecimal digits that say what ``value`` consists of.

    Raises
    ------
    TypeError
        If a piece of it cannot be read, such as an open file; the message names ``argument`` and the piece.
    """
    reader = _Reader(argument)
    try:
        reader.read(value)
    except RecursionError:
        reader.refuse(value, "is nested too deeply")
    return reader.digest.hexdigest()


class _Reader:
    """Walks through a value and feeds a digest with what it meets."""

    def __init__(self, argument):
        self.digest = hashlib.sha256()
        self.path: list[str] = [argument]
        self.seen = {}  # each object is read once: that ends cycles

    def refuse(self, value, reason) -> NoReturn:
        argument, *where = self.path
        piece = _SHORT.repr(value) + (f" ({', '.join(where[:5])})" if where else "")
        raise TypeError(
            f"{argument} must be such that another process knows it again, if there is a folder, and {piece} "
            f"{reason}: leave it out, or sweep without a folder"
        ) from None

    def put(self, kind, data: Any = b""):
        data = data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")
        self.digest.update(f"{kind} {len(data)}:".encode())
        self.digest.update(data)

    def read(self, value, piece=None):
        """Read a value; ``piece`` says in error messages which part of the whole it is."""
        if piece is not None:
            self.path.append(piece)
        if not self._plain(value) and not self._named(value):
            key = id(value)
            if key in self.seen:
                self.put("again", self.seen[key][0])
            else:
                self.seen[key] = len(self.seen), value  # the value too, lest its id be given away
                self._whole(value)
        if piece is not None:
            self.path.pop()

    def read_all(self, kind, values):
        values = list(values)
        self.put(kind, len(values))
        for i, value in enumerate(values):
            self.read(value, f"item {i}")

    def read_items(self, kind, items):
        """Read a mapping, in the order of its keys."""
        self.put(kind, len(items))
        for key in sorted(items, key=lambda key: fingerprint(self.path[0], key)):
            self.read(key)
            self.read(items[key], str(key))

    def _plain(self, value):
        """Read what is known by its value alone, or return False."""
        kind = type(value)
        if value is None or kind in (bool, float, complex, str, bytes):
            self.put(kind.__name__, value if kind is bytes else str(value))
        elif kind is int:
            self.put("int", hex(value))
        elif kind is np.ndarray and not value.dtype.hasobject:
            self.put(f"array {value.dtype!r} {value.shape}", np.ascontiguousarray(value).tobytes())
        elif kind is np.ndarray:
            self.read_all(f"array {value.shape}", value.ravel())
        elif isinstance(value, np.generic):
            self.put(f"scalar {value.dtype!r}", value.tobytes())
        elif kind is tuple:
            self.read_all("tuple", value)
        elif kind is frozenset:
            self.put("frozenset", " ".join(sorted(fingerprint(self.path[0], v) for v in value)))
        elif kind in (slice, range):
            self.read_all(kind.__name__, (value.start, value.stop, value.step))
        else:
            return False
        return True

    def _named(self, value):
        """Read what a package defines by its name, or return False."""
        if isinstance(value, types.ModuleType):
            module = name = value.__name__
        else:
            module = getattr(value, "__module__", None)
            name = getattr(value, "__qualname__", getattr(value, "__name__", None))
            if not (isinstance(module, str) and isinstance(name, str)):
                return False
            if find(module, name) is not value:
                return False
        package = package_of(module)
        if package is not None:
            self.put("named", f"{package} {module}:{name}")
        return package is not None

    def _whole(self, value):
        kind = type(value)
        if kind is list:
            self.read_all("list", value)
        elif kind in (dict, types.MappingProxyType):
            self.read_items("dict", value)
        elif kind is set:
            self.put("set", " ".join(sorted(fingerprint(self.path[0], v) for v in value)))
        elif kind is types.FunctionType:
            self._function(value)
        elif kind is types.MethodType:
            self.put("method")
            self.read(value.__self__, "the object of a method")
            self.read(value.__func__)
        elif isinstance(value, type):
            self._class(value)
        elif kind is types.ModuleType:
            names = [name for name in vars(value) if not re.fullmatch("__.*__", name)]
            self._module(value, names)
        elif kind in (staticmethod, classmethod):
            self.put(kind.__name__)
            self.read(value.__func__)
        elif kind is property:
            self.read_all("property", (value.fget, value.fset, value.fdel))
        elif kind is cached_property:
            self.put("cached_property")
            self.read(value.func)
        elif kind is _LRU_CACHE:
            self.put("cached")
            self.read(value.__wrapped__)
        elif kind in _OF_A_CLASS:
            self.put("of a class", value.__name__)
            self.read(value.__objclass__)
        elif kind in (types.BuiltinMethodType, types.MethodWrapperType):
            self.put("method", value.__name__)
            self.read(value.__self__, "the object of a method")
        else:
            self._object(value)

    def _object(self, value):
        """Read what a pickle would hold: the class and what it is called with, the state, the items."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            held = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception:
            self.refuse(value, f"is of type {type(value).__name__}, which cannot be read")
        if isinstance(held, str):
            modules = (getattr(value, "__module__", None), type(value).__module__, "scipy.special")
            if not any(find(module, held) is value for module in modules):
                self.refuse(value, "is not found under its name")
            self.put("global", f"{type(value).__module__} {type(value).__qualname__} {held}")
            return
        make, arguments, state, items, pairs, *_ = (*held, None, None, None, None)
        self.put("object")
        self.read(make)
        self.read_all("arguments", arguments)
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state = {**(state[0] or {}), **state[1]}  # what is in slots beside the rest
        if state is None or isinstance(state, dict):
            state = state or {}
            self.read_items("state", {k: state[k] for k in state if not _is_extra(type(value), k)})
        else:
            self.read(state, "its state")
        self.read_all("items", items or ())
        self.read_items("pairs", dict(pairs or ()))

    def _class(self, value):
        self.put("class", value.__name__)
        if not value.__flags__ & _HEAP_TYPE:
            return self.put("of Python", value.__module__)
        self.read_all("bases", value.__bases__)
        if type(value) is not type:
            self.read(type(value), "its metaclass")
        written = {k: v for k, v in vars(value).items() if not _NOT_WRITTEN.fullmatch(k)}
        self.path.append(f"class {value.__name__}")
        self.read_items("attributes", written)
        self.path.pop()

    def _function(self, value):
        self.path.append(f"function {value.__name__}")
        self.put("function")
        names, attributes = set(), set()
        package = package_of(value.__globals__.get("__name__", ""))
        if package is not None:  # a function that a package's function made
            self.put("of", f"{package} {value.__code__.co_qualname}")
        else:
            self._code(value.__code__, names, attributes, value.__globals__)
        self.read(value.__defaults__, "a default")
        self.read_items("keyword defaults", value.__kwdefaults__ or {})
        self.read_items("attributes", vars(value))
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.put("free", name)
            if cell == types.CellType():
                self.put("empty")
            else:
                self._use(name, cell.cell_contents, attributes)
        for name in sorted(names):
            self.put("global", name)
            if name in value.__globals__:
                self._use(name, value.__globals__[name], attributes)
        self.path.pop()

    def _use(self, name, value, attributes):
        """Read what a function uses under a name; of a module of the user's, what it may use of that."""
        self.path.append(f"{name!r}")
        if isinstance(value, types.ModuleType) and not self._named(value):
            self._module(value, attributes)
        else:
            self.read(value)
        self.path.pop()

    def _module(self, module, names):
        key = id(module), frozenset(names)
        self.put("module")
        if key not in self.seen:
            self.seen[key] = len(self.seen), module
            for name in sorted(set(names) & set(vars(module))):
                self.put("name", name)
                self._use(name, vars(module)[name], names)

    def _code(self, code, names, attributes, globals_):
        """Read instructions, and collect the globals and attributes that they mention."""
        flags = code.co_flags & ~_DOCSTRING_FLAG
        arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
        self.put("code", (*arguments, flags, code.co_exceptiontable))
        self.put("arguments", code.co_varnames[: arguments[0] + arguments[2]])
        self.put("free", code.co_freevars)
        attributes.update(code.co_names)
        steps = list(dis.get_instructions(code))
        for i in range(len(steps) - 1, 0, -1):  # a class's docstring and the like
            if steps[i].opname == "STORE_NAME" and _NOT_WRITTEN.fullmatch(steps[i].argval):
                del steps[i - 1 : i + 1]
        for i, step in enumerate(steps):
            # Constants and names by value, since a docstring would shift their numbers.
            constant = step.opcode in dis.hasconst
            self.put(
                step.opname,
                "" if constant else step.argval if step.opcode in dis.hasname else step.arg,
            )
            if constant and isinstance(step.argval, types.CodeType):
                self._code(step.argval, names, attributes, globals_)
            elif constant:
                self.read(step.argval)
            elif step.opname in _GLOBAL:
                names.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                self._import(
                    step.argval, globals_, steps[i - 1].argval, steps[i - 2].argval, attributes
                )

    def _import(self, name, globals_, wanted, level, attributes):
        """Read a module that a function imports when it is called."""
        try:
            module = __import__(name, globals_, None, wanted, level)
        except Exception:  # the function fails as well, or knows what to do
            self.put("missing", name)
        else:
            self._use(name, module, attributes)


def _is_extra(cls, name):
    """Return whether an object computes the same without an entry: its name, or what it computed once."""
    return name == "__name__" or isinstance(getattr(cls, str(name), None), cached_property)


def readable(value):
    """Return a short line for ``value``: a function's ``__name__``, with what a partial has filled in.

    It is for people: two values may share one, and :func:`fingerprint` tells them apart.
    """
    if isinstance(value, partial):
        filled = [readable(argument) for argument in value.args]
        filled += [f"{key}={readable(value.keywords[key])}" for key in sorted(value.keywords)]
        return f"{readable(value.func)}({', '.join(filled)})"
    name = getattr(value, "__name__", None)
    if isinstance(name, str):
        return name
    if isinstance(value, np.ndarray) and value.ndim and not value.dtype.hasobject:
        checksum = zlib.crc32(np.ascontiguousarray(value).tobytes())
        return f"array{value.shape} {value.dtype} {checksum:08x}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(readable, value)))}}}"
    text = repr(value)
    if re.search(r" at 0x[0-9a-fA-F]+", text):  # an address, which the next process does not know
        return type(value).__name__
    return text if len(text) <= 80 else f"{text[:60]}… {zlib.crc32(text.encode()):08x}"
