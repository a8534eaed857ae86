"""Make digits.npz from the four files of MNIST: ``python fpnotes/data/make_digits.py FOLDER``.

The folder holds the files unpacked or as .gz; each must have the right MD5. The output depends on
nothing but them: no date, no random number. (Another build of zlib may compress to other bytes of the
same content.)
"""

import argparse
import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fpnotes._paths import check_path
from fpnotes._types import Array, IntArray
from fpnotes.digits import MNIST, Checksums, as_images, parse_idx, stored

PER_DIGIT = 1000


def spread(labels: Array, count: int) -> IntArray:
    """Return which samples to take: of each label ``count``, evenly spread over the file, in its order.

    Of the n samples that carry a label, in the file's order, these are numbers ⌊i·n/count⌋ for
    i = 0 … count − 1.
    """
    taken = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < count:
            raise ValueError(f"only {len(rows)} of {count} samples carry the label {label}")
        taken.append(rows[np.arange(count) * len(rows) // count])
    return np.sort(np.concatenate(taken))


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays as numpy.savez_compressed does, without the traces of date and system."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def make(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    table: Mapping[str, Checksums] = MNIST,
    per_digit: int = PER_DIGIT,
) -> None:
    """Write the subset of the files in a folder; raise ValueError where one is missing or wrong."""
    folder, path = check_path("folder", folder), check_path("path", path)
    arrays = []
    for name, md5 in table.items():
        data = stored(folder, name, md5.plain)
        if data is None:
            raise ValueError(
                f"{folder} has no {name} or {name}.gz whose content has MD5 {md5.plain}"
            )
        arrays.append(parse_idx(name, data))
    images = as_images(arrays)
    rows = spread(images.train_labels, per_digit)
    subset = images._replace(
        train_images=images.train_images[rows], train_labels=images.train_labels[rows]
    )
    write_npz(path, subset._asdict())


def main() -> None:
    """Read the folder named on the command line and write the file beside this script."""
    parser = argparse.ArgumentParser(description="Make digits.npz from the four files of MNIST.")
    parser.add_argument("folder", type=Path, help="where the four files are, unpacked or as .gz")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("digits.npz"))
    arguments = parser.parse_args()
    try:
        make(arguments.folder, arguments.out)
    except ValueError as error:
        parser.error(str(error))
    content = arguments.out.read_bytes()
    print(arguments.out, len(content), "bytes, SHA-256", hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
