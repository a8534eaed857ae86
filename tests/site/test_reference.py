"""The reference documents what the package offers, all of it and nothing else."""

import importlib
import pkgutil
from pathlib import Path

from sphinx.util.inventory import InventoryFile

import fpnotes

INVENTORY = Path(__file__).parents[2] / "_build" / "html" / "objects.inv"
MODULES = [
    name
    for _, name, folder in pkgutil.iter_modules(fpnotes.__path__)
    if not (name.startswith("_") or folder)
]


def test_the_package_offers_what_its_modules_offer():
    offered = [name for module in MODULES for name in _module(module).__all__]
    assert sorted(offered) == fpnotes.__all__


def test_the_reference_and_the_package_name_the_same_things():
    with INVENTORY.open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    kinds = ("py:function", "py:class", "py:exception", "py:data")
    documented = {name for kind in kinds for name in inventory.get(kind, {})}
    where_defined = {
        f"fpnotes.{module}.{name}" for module in MODULES for name in _module(module).__all__
    }
    as_imported = {f"fpnotes.{name}" for name in fpnotes.__all__}
    assert documented == where_defined | as_imported
    methods = inventory["py:method"]
    for metric in ("Euclidean", "Reparameterized"):
        for method in ("norm", "geodesic", "unit_ball", "inner"):
            assert {f"fpnotes.{metric}.{method}", f"fpnotes.geometry.{metric}.{method}"} <= set(
                methods
            )
    assert set(inventory["py:module"]) == {f"fpnotes.{module}" for module in MODULES}


def _module(name):
    return importlib.import_module(f"fpnotes.{name}")
