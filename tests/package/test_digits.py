"""The digits: what is shipped, and how the rest is fetched, from servers on this machine."""

import errno
import gzip
import hashlib
import re
import socket
import struct
import sys
import threading
import zipfile
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import fpnotes.digits
from fpnotes.data.make_digits import make, spread
from fpnotes.digits import MNIST, Checksums, fetch_digits, load_digits, parse_idx, stored

DATA = Path(fpnotes.digits.__file__).parent / "data"


def idx(array):
    """Write an array as an IDX file, from the format's description."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def md5(data):
    return hashlib.md5(data).hexdigest()


# ---- What is shipped ----


def test_the_shipped_digits_need_no_network(monkeypatch):
    def no_network(*arguments, **options):
        raise AssertionError("the shipped digits opened a socket")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setitem(sys.modules, "pooch", None)
    digits = load_digits()
    assert digits.train_images.shape == digits.test_images.shape == (10_000, 784)
    assert digits.train_labels.shape == digits.test_labels.shape == (10_000,)
    assert all(array.dtype == np.uint8 for array in digits)
    assert np.bincount(digits.train_labels).tolist() == [1000] * 10


def test_the_shipped_test_set_is_the_original_byte_for_byte():
    digits = load_digits()
    images = idx(digits.test_images.reshape(-1, 28, 28))
    assert md5(images) == MNIST["t10k-images-idx3-ubyte"].plain
    assert md5(idx(digits.test_labels)) == MNIST["t10k-labels-idx1-ubyte"].plain


def test_the_data_card_has_the_checksums_and_the_file_is_small():
    card = dict(
        re.findall(r"^\| `(\S+)` \| ([0-9a-f]{32,64}) \|$", (DATA / "README.md").read_text(), re.M)
    )
    content = (DATA / "digits.npz").read_bytes()
    assert card.pop("digits.npz") == hashlib.sha256(content).hexdigest()
    assert card == {name: sums.plain for name, sums in MNIST.items()}
    assert len(content) < 4e6


def test_no_shipped_image_is_blank_or_in_both_sets():
    digits = load_digits()
    rows = [
        {row.tobytes() for row in images} for images in (digits.train_images, digits.test_images)
    ]
    assert bytes(784) not in rows[0] | rows[1] and not rows[0] & rows[1]


SHIPPED = (DATA / "digits.npz").read_bytes()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (SHIPPED[: len(SHIPPED) // 2], zipfile.BadZipFile),  # cut off
        (SHIPPED[:9000] + b"?" + SHIPPED[9001:], (zipfile.BadZipFile, zlib.error)),
        (b"version https://git-lfs.github.com/spec/v1", ValueError),  # a pointer in its place
        (b"", EOFError),
        (None, FileNotFoundError),
    ],
    ids=["cut off", "another byte", "a pointer", "empty", "missing"],
)
def test_a_damaged_shipped_file_is_named_with_what_to_do(content, error, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data/digits.npz").write_bytes(content)
    monkeypatch.setattr(fpnotes.digits, "files", lambda package: tmp_path)
    with pytest.raises(error) as caught:
        load_digits()
    (note,) = caught.value.__notes__
    assert str(tmp_path / "data/digits.npz") in note and "install fpnotes again" in note


# ---- How it was drawn ----


def test_the_draw_is_balanced_evenly_spread_and_in_order():
    labels = np.random.default_rng(0).integers(3, size=1000)
    rows = spread(labels, 50)
    assert np.all(np.diff(rows) > 0) and np.bincount(labels[rows]).tolist() == [50] * 3
    for label in range(3):
        of_label = [row for row in range(1000) if labels[row] == label]
        expected = [of_label[int(i * len(of_label) / 50 + 1e-9)] for i in range(50)]
        assert [row for row in rows if labels[row] == label] == expected
    with pytest.raises(ValueError, match="only .* of 500 samples carry the label 0"):
        spread(labels, 500)


# ---- A small MNIST, and servers that give it well or badly ----


@pytest.fixture(scope="module")
def small():
    """Return the arrays, the unpacked files, the .gz files and the checksums of a small data set."""
    rng = np.random.default_rng(1)
    labels = [np.arange(n, dtype=np.uint8) % 10 for n in (40, 10)]
    images = [rng.integers(256, size=(len(y), 4, 4)).astype(np.uint8) for y in labels]
    arrays = [images[0], labels[0], images[1], labels[1]]
    plain = {name: idx(array) for name, array in zip(MNIST, arrays, strict=True)}
    packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in plain.items()}
    table = {name: Checksums(md5(packed[f"{name}.gz"]), md5(plain[name])) for name in MNIST}
    return arrays, plain, packed, table


def same(digits, arrays):
    flat = [a.reshape(len(a), -1) if a.ndim == 3 else a for a in arrays]
    return all(map(np.array_equal, digits, flat))


class Cut(bytes):
    """A file whose connection breaks after half of it."""


@contextmanager
def server(content):
    """Serve a dict of name to bytes; give the address and the list of the names asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            asked.append(name)
            if name not in content:
                self.send_error(404)
                return
            data = content[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if isinstance(data, Cut) else data)

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/mnist/", asked
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def dead():
    """Return the address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: no one else gets the port
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_a_good_mirror_is_asked_once_for_each_file(small, tmp_path):
    arrays, _, packed, table = small
    with server(packed) as (address, asked):
        for _ in range(2):
            assert same(fetch_digits(table, tmp_path / "new" / "cache", [address]), arrays)
        assert asked == list(packed)
    # and without any mirror, from the cache
    assert same(fetch_digits(table, tmp_path / "new" / "cache", []), arrays)


BAD = {
    "cut off": lambda data: Cut(data),
    "cut short": lambda data: data[: len(data) // 2],
    "another file": lambda data: gzip.compress(b"another file"),
    "a web page": lambda data: b"<html>Please log in</html>",
    "empty": lambda data: b"",
    "missing": None,
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mirror_gives_way_to_the_next_and_leaves_nothing(kind, small, tmp_path):
    arrays, _, packed, table = small
    spoil = BAD[kind]
    bad = {} if spoil is None else {name: spoil(data) for name, data in packed.items()}
    with server(bad) as (address, asked), server(packed) as (good, asked_good):
        with pytest.raises(
            ConnectionError, match=re.escape(f"{address}train-images-idx3-ubyte.gz")
        ):
            fetch_digits(table, tmp_path, [address])
        assert not list(tmp_path.iterdir())
        asked.clear()
        assert same(fetch_digits(table, tmp_path, [address, good]), arrays)
        assert asked == asked_good == list(packed)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == packed


def test_a_file_that_unpacks_to_something_else_is_not_kept(small, tmp_path):
    """The two checksums of a file disagree only if the table does; it must not be believed halfway."""
    _, _, packed, table = small
    wrong = {name: sums._replace(plain="0" * 32) for name, sums in table.items()}
    with server(packed) as (address, _):
        with pytest.raises(ConnectionError, match=f"Unpacked, its MD5 is not {'0' * 32}"):
            fetch_digits(wrong, tmp_path, [address])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_fetch_goes_on_where_it_was(small, tmp_path):
    arrays, _, packed, table = small
    names = list(packed)
    with server({name: packed[name] for name in names[:2]}) as (address, asked):
        with pytest.raises(ConnectionError, match=f"No mirror gave {names[2]}"):
            fetch_digits(table, tmp_path, [address])
        assert asked == names[:3]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[:2])
    with server(packed) as (address, asked):
        assert same(fetch_digits(table, tmp_path, [address]), arrays)
        assert asked == names[2:]


def test_when_no_mirror_answers_each_answer_is_listed_with_what_to_do(dead, tmp_path):
    with server({}) as (empty, _), server({"train-images-idx3-ubyte.gz": b"no"}) as (wrong, _):
        with pytest.raises(ConnectionError) as caught:
            load_digits(full=True, cache=tmp_path, mirrors=[dead, empty, wrong])
    message = str(caught.value)
    for part in (dead, "refused", empty, "404", wrong, "does not match the known hash"):
        assert part in message
    for part in (str(tmp_path), *MNIST, "load_digits(full=False)"):
        assert part in message


# ---- Where the cache is ----


def test_a_cache_in_the_home_folder_is_found_again(small, tmp_path, monkeypatch):
    arrays, _, packed, table = small
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    with server(packed) as (address, asked):
        for _ in range(2):
            assert same(fetch_digits(table, "~/mnist", [address]), arrays)
        assert asked == list(packed)
    assert {path.name for path in (tmp_path / "home/mnist").iterdir()} == set(packed)
    assert not list((tmp_path / "current").iterdir())


def test_a_relative_cache_seen_from_another_folder_is_named_in_full(small, tmp_path, monkeypatch):
    """As a worker does that was started elsewhere."""
    arrays, plain, _, table = small
    for folder in ("here/mnist", "there"):
        (tmp_path / folder).mkdir(parents=True)
    for name, data in plain.items():
        (tmp_path / "here/mnist" / name).write_bytes(data)
    monkeypatch.chdir(tmp_path / "here")
    assert same(fetch_digits(table, "mnist", []), arrays)
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(ConnectionError, match=re.escape(f"kept in {tmp_path / 'there/mnist'}.")):
        fetch_digits(table, "mnist", [])


@pytest.mark.parametrize("inside", ["", "mnist"])
def test_a_cache_that_cannot_be_written_is_refused_before_a_mirror_is_asked(
    inside, small, tmp_path
):
    (tmp_path / "file").write_text("something")
    with server(small[2]) as (address, asked):
        with pytest.raises(OSError, match="cache must be a folder that can be written") as caught:
            fetch_digits(small[3], tmp_path / "file" / inside, [address])
        assert caught.value.filename == str(tmp_path / "file" / inside) and not asked


def test_a_cache_that_can_only_be_read_is_read(small, tmp_path, monkeypatch):
    arrays, plain, _, table = small
    for name, data in plain.items():
        (tmp_path / name).write_bytes(data)

    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fpnotes.digits, "check_folder", refuse)
    assert same(fetch_digits(table, tmp_path, []), arrays)
    (tmp_path / list(plain)[3]).unlink()
    with pytest.raises(PermissionError):
        fetch_digits(table, tmp_path, [])


def test_a_disk_that_is_full_names_the_file_and_the_cache(small, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.retrieve", full)
    with pytest.raises(OSError, match="No space left") as caught:
        fetch_digits(small[3], tmp_path, ["http://127.0.0.1/"])
    (note,) = caught.value.__notes__
    assert "train-images-idx3-ubyte.gz" in note and str(tmp_path) in note


# ---- Files put there by hand ----


@pytest.mark.parametrize("compress", [False, True])
def test_files_put_into_the_cache_by_hand_need_neither_mirror_nor_pooch(
    compress, small, tmp_path, monkeypatch
):
    arrays, plain, _, table = small
    monkeypatch.setitem(sys.modules, "pooch", None)
    for name, data in plain.items():
        if compress:  # other bytes than the mirrors', the same content
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data, 1, mtime=7))
        else:
            (tmp_path / name).write_bytes(data)
    assert same(fetch_digits(table, str(tmp_path), []), arrays)


def test_a_wrong_file_put_there_by_hand_is_named_and_a_mirror_makes_up_for_it(small, tmp_path):
    arrays, plain, packed, table = small
    for name, data in plain.items():
        (tmp_path / name).write_bytes(data)
    first, second = list(plain)[:2]
    (tmp_path / first).write_bytes(plain[first][:-1])
    (tmp_path / f"{first}.gz").write_bytes(packed[f"{first}.gz"][:-9])
    with pytest.raises(ConnectionError, match=re.escape(f"{tmp_path / first} is there, but")):
        fetch_digits(table, tmp_path, [])
    with server(packed) as (address, asked):
        assert same(fetch_digits(table, tmp_path, [address]), arrays)
        assert asked == [f"{first}.gz"] and second not in asked


def test_without_pooch_the_error_says_how_to_get_it(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    message = r'needs pooch, which is not installed\. Run: pip install "fpnotes\[data\]"'
    with pytest.raises(ModuleNotFoundError, match=message):
        fetch_digits(small[3], tmp_path, ["http://127.0.0.1/"])
    with pytest.raises(ModuleNotFoundError, match=message):
        load_digits(full=True)


def test_the_default_cache_is_the_packages_own(small, tmp_path, monkeypatch):
    arrays, plain, _, table = small
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    (tmp_path / "fpnotes").mkdir()
    for name, data in plain.items():
        (tmp_path / "fpnotes" / name).write_bytes(data)
    assert same(fetch_digits(table, None, []), arrays)


def test_one_mirror_as_a_string_is_refused(small, tmp_path):
    with pytest.raises(TypeError, match="mirrors must be a list"):
        fetch_digits(small[3], tmp_path, "http://127.0.0.1/")


def test_the_mirrors_are_several_and_encrypted():
    hosts = {re.fullmatch(r"https://([^/]+)/.*/", mirror) for mirror in fpnotes.digits.MIRRORS}
    assert None not in hosts and len(hosts) >= 2


# ---- The format ----


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 28, 28)])
def test_idx_is_read_as_it_was_written(shape):
    array = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    assert np.array_equal(parse_idx("labels", idx(array)), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it begins with , not"),
        (b"\x1f\x8b\x08\x08 and so on", "it begins with 1f 8b 08 08, not"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "it begins with 00 00 0d 01, not"),  # floats
        (b"\0\0\x08\x02\0\0\0\x01\0\0\0\x01\0", "it begins with 00 00 08 02, not"),
        (b"\0\0\x08\x01\0\0", "is cut off: it ends within its header"),
        (b"\0\0\x08\x01\0\0\0\x03ab", r"has 10 bytes; its header, of shape \(3,\), asks for 11"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", r"has 12 bytes; its header, of shape \(3,\), asks for 11"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "has 16 bytes; its header, of shape .* asks for"),
    ],
)
def test_what_is_not_idx_is_named(data, message):
    with pytest.raises(ValueError, match=f"^some-file .*{message}"):
        parse_idx("some-file", data)


# ---- The script that made the shipped file ----


def test_the_script_writes_the_same_bytes_from_plain_and_packed_files(small, tmp_path):
    arrays, plain, packed, table = small
    for folder, content in (("plain", plain), ("packed", packed)):
        (tmp_path / folder).mkdir()
        for name, data in content.items():
            (tmp_path / folder / name).write_bytes(data)
        make(tmp_path / folder, tmp_path / f"{folder}.npz", table, per_digit=2)
    made = (tmp_path / "plain.npz").read_bytes()
    assert made == (tmp_path / "packed.npz").read_bytes()
    with np.load(tmp_path / "plain.npz") as subset:
        # 4 of each digit, in turn: the first and third of each are kept
        rows = [*range(10), *range(20, 30)]
        expected = [
            arrays[0][rows].reshape(20, 16),
            arrays[1][rows],
            arrays[2].reshape(10, 16),
            arrays[3],
        ]
        assert list(subset) == list(load_digits()._fields)
        assert all(map(np.array_equal, subset.values(), expected))


def test_the_script_refuses_other_files(small, tmp_path):
    _, plain, _, table = small
    for name, data in plain.items():
        (tmp_path / name).write_bytes(data + b"!")
    with pytest.raises(
        ValueError, match="has no train-images-idx3-ubyte or .* whose content has MD5"
    ):
        make(tmp_path, tmp_path / "out.npz", table, per_digit=2)
    assert not (tmp_path / "out.npz").exists()
    assert (
        stored(tmp_path, "train-images-idx3-ubyte", table["train-images-idx3-ubyte"].plain) is None
    )
