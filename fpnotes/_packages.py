"""Which installed package, in which version, a module belongs to."""

import os
import site
import sys
import sysconfig
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def find(module, name):
    """Return what an imported module holds under a dotted name, or None; of a method, its function."""
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return getattr(found, "__func__", found)


@cache
def package_of(module):
    """Return a module's installed package, with its version; None for a module of the user's.

    Python's own modules, and those of this package, have no version in it. A package that is installed for
    editing, outside the folders of packages, counts as the user's.
    """
    top = module.partition(".")[0]
    if top in ("fpnotes", "__main__", "__mp_main__"):
        return top if top == "fpnotes" else None
    spec = getattr(sys.modules.get(top), "__spec__", None)
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    files = [os.path.realpath(place) for place in places if place and os.path.isabs(place)]
    if files and not any(file.startswith(_folders()) for file in files):
        return None
    if top in sys.stdlib_module_names:
        return top
    if not files:
        return None
    try:
        return f"{top} {version(top)}"
    except PackageNotFoundError:  # its distribution has another name
        return f"{top} {getattr(sys.modules[top], '__version__', '')}"


@cache
def _folders():
    """Return where Python's own modules and installed packages are."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    folders |= {path for path in sys.path if path.endswith(".zip")}
    return tuple(os.path.realpath(folder) + os.sep for folder in folders if folder)
