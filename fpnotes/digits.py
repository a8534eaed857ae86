"""Handwritten digits: ten thousand shipped with the package, or all of MNIST, fetched once.

MNIST is four files in IDX format: a short header that gives the shape, then one byte per value. What is
shipped, where it comes from and its licence are written in ``fpnotes/data/README.md``.
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fpnotes._extras import needs
from fpnotes._paths import check_folder, check_path
from fpnotes._text import counted
from fpnotes._types import Array

__all__ = ["DigitImages", "load_digits"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class Checksums(NamedTuple):
    """MD5 of a file as mirrors serve it, compressed by gzip, and as it is unpacked."""

    gz: str
    plain: str


MNIST = {
    "train-images-idx3-ubyte": Checksums(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"
    ),
    "train-labels-idx1-ubyte": Checksums(
        "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"
    ),
    "t10k-images-idx3-ubyte": Checksums(
        "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"
    ),
    "t10k-labels-idx1-ubyte": Checksums(
        "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"
    ),
}


class DigitImages(NamedTuple):
    """Images of handwritten digits, one row per image, for training and for testing.

    Attributes
    ----------
    train_images, test_images : (n, 784) uint8 arrays
        Pixels, 28 rows of 28 one after another, from 0 (paper) to 255 (ink).
    train_labels, test_labels : (n,) uint8 arrays
        Which digit each image shows, 0 to 9.

    Examples
    --------
    >>> import fpnotes as fp
    >>> images = fp.load_digits()
    >>> images.train_images[0].reshape(28, 28).max()
    np.uint8(255)
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    def __repr__(self) -> str:
        """Return one line: how many images there are."""
        train, test = len(self.train_labels), len(self.test_labels)
        return f"DigitImages({counted(train, 'image')} for training, {test} for testing)"


def load_digits(
    full: bool = False,
    *,
    cache: str | os.PathLike[str] | None = None,
    mirrors: Iterable[str] = MIRRORS,
) -> DigitImages:
    """Return the digits of MNIST: 10,000 for training, or all 60,000; and the whole test set, 10,000.

    Parameters
    ----------
    full : bool
        False reads the file shipped with the package: 1,000 training images of each digit, no network.
        True reads the four original files from ``cache``, and fetches those that are not there, for
        which it needs pooch. Files that arrived whole are kept, so a second call continues where the
        first was interrupted.
    cache : path, optional
        The folder of the original files; by default pooch's for this package. ``~`` is the home folder,
        and a relative path starts at the current folder of the process that reads it: where other
        processes do, give an absolute one. Files put there by hand, unpacked or as .gz, are used when
        their MD5, unpacked, is right.
    mirrors : iterable of str
        Addresses that the files' names are appended to, tried in this order for each file.

    Raises
    ------
    ConnectionError
        When no mirror gave a file. It lists each mirror's answer, and what to do without a network.
    OSError
        When a file has to be fetched, and the cache cannot be written; when a file cannot be read.
    ModuleNotFoundError
        When pooch is needed and not installed.

    Examples
    --------
    >>> import fpnotes as fp
    >>> images = fp.load_digits()
    >>> images.train_images.shape, images.test_labels.shape
    ((10000, 784), (10000,))
    """
    if not full:
        path = files("fpnotes").joinpath("data/digits.npz")
        try:
            with path.open("rb") as f, np.load(f) as arrays:
                return DigitImages(**arrays)
        except Exception as error:
            error.add_note(f"while reading {path}, which comes with fpnotes: install fpnotes again")
            raise
    return fetch_digits(MNIST, cache, mirrors)


def fetch_digits(
    table: Mapping[str, Checksums], cache: str | os.PathLike[str] | None, mirrors: Iterable[str]
) -> DigitImages:
    """Return what the four files of a table hold, in its order; see :func:`load_digits`.

    Parameters
    ----------
    table : dict of str to Checksums
        Names of the files: training images and labels, test images and labels.
    cache, mirrors
        As in :func:`load_digits`.
    """
    if isinstance(mirrors, str):
        raise TypeError("mirrors must be a list of addresses, not one string")
    folder = check_path("cache", _pooch().os_cache("fpnotes") if cache is None else cache)
    mirrors = list(mirrors)
    arrays = []
    for name, md5 in table.items():
        data = stored(folder, name, md5.plain)
        if data is None:
            data = _download(folder, name, table, mirrors)
        arrays.append(parse_idx(name, data))
    return as_images(arrays)


def as_images(arrays: Iterable[Array]) -> DigitImages:
    """Return images and labels as :class:`DigitImages`, each image flattened to a row."""
    return DigitImages(*(a.reshape(len(a), -1) if a.ndim == 3 else a for a in arrays))


def stored(folder: Path, name: str, md5: str) -> bytes | None:
    """Return a file's unpacked content from a folder, plain or .gz; None where neither has that MD5."""
    for path in (folder / name, folder / f"{name}.gz"):
        if not path.exists():
            continue
        data = path.read_bytes()
        if path.suffix == ".gz":
            try:
                data = gzip.decompress(data)
            except (gzip.BadGzipFile, EOFError, zlib.error):  # damaged or cut off
                continue
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == md5:
            return data
    return None


def parse_idx(name: str, data: bytes) -> np.ndarray:
    """Return the array that an IDX file of bytes holds.

    Parameters
    ----------
    name : str
        The file's name, for errors.
    data : bytes
        Two zero bytes, 8 for "unsigned byte", the number of axes, each axis's length as four bytes (most
        significant first), then the values in C order.

    Raises
    ------
    ValueError
        When the header is another, or the length does not match it.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08" or data[3] not in (1, 3):
        raise ValueError(
            f"{name} is not an IDX file of images or labels: it begins with {data[:4].hex(' ')}, not "
            "with 00 00 08 03 or 00 00 08 01"
        )
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise ValueError(f"{name} is cut off: it ends within its header")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    size = header + math.prod(shape)
    if len(data) != size:
        raise ValueError(
            f"{name} has {len(data)} bytes; its header, of shape {shape}, asks for {size}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _pooch():
    """Import pooch, or say how to get it: only fetching needs it."""
    with needs("data", "load_digits(full=True)"):
        import pooch
    return pooch


def _download(folder: Path, name: str, table: Mapping[str, Checksums], mirrors: list[str]) -> bytes:
    """Fetch one file into a folder from the first mirror that gives it whole; return it unpacked."""
    pooch = _pooch()
    from requests import RequestException  # pooch fetches with requests

    md5 = table[name]
    check_folder("cache", folder)
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            # Pooch checks a download before it takes its name in the folder, and discards a wrong one.
            pooch.retrieve(url, f"md5:{md5.gz}", fname=f"{name}.gz", path=folder)
        except (RequestException, ValueError) as error:
            answers.append(f"{url}\n    {error}")
            continue
        except OSError as error:
            error.add_note(f"while storing {name}.gz in the cache, {folder}")
            raise
        data = stored(folder, name, md5.plain)
        if data is not None:
            return data
        (folder / f"{name}.gz").unlink(missing_ok=True)
        answers.append(f"{url}\n    Unpacked, its MD5 is not {md5.plain}.")
    wrong = [p for p in (folder / name, folder / f"{name}.gz") if p.exists()]
    raise ConnectionError(
        "\n".join(
            [
                f"No mirror gave {name}.gz:",
                *(f"  {answer}" for answer in answers or ["(no mirror was named)"]),
                *(f"{path} is there, but is damaged or another file." for path in wrong),
                f"Try again later; files that arrived are kept in {folder}. Or get the four files of "
                "MNIST elsewhere and put them into that folder, unpacked or as .gz, under these names: "
                f"{', '.join(table)}. Or use the shipped digits: load_digits(full=False).",
            ]
        )
    )
