"""Paths that a user gives: where they lead, and that a folder can be written."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fpnotes as fp
from fpnotes._paths import check_folder, check_path

CALLS = [check_path, check_folder]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a home folder, and make another folder the current one."""
    for name in ("home", "current"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))  # Windows
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path / "home"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("given", ["~/a/b", Path("~/a/b")])
def test_a_tilde_is_the_home_folder(call, given, home):
    assert call("folder", given) == home / "a/b"


@pytest.mark.parametrize("call", CALLS)
def test_a_relative_path_stays_where_it_was_when_the_current_folder_changes(
    call, home, monkeypatch
):
    given = call("folder", "a/b")
    monkeypatch.chdir(home)
    assert given == home.parent / "current/a/b" and given.is_absolute()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("given", [None, 3, b"bytes", ["a"]])
def test_what_is_no_path_is_named(call, given):
    with pytest.raises(TypeError, match="^folder must be a path, not"):
        call("folder", given)


@pytest.mark.parametrize("call", CALLS)
def test_the_home_of_a_user_who_is_not_there_is_refused(call):
    with pytest.raises(ValueError, match="^folder must be a path that can be found, not '~nobody-"):
        call("folder", "~nobody-of-this-name/a")


def test_a_full_path_makes_nothing_and_a_writable_folder_is_made_and_left_empty(home):
    assert not check_path("folder", "~/a/b").exists()
    assert not list(check_folder("folder", "~/a/b").iterdir())
    assert (home / "a/b").is_dir() and check_folder("folder", "~/a/b") == home / "a/b"


@pytest.mark.parametrize("inside", ["", "a/b"])
def test_a_file_is_no_folder(inside, home):
    (home / "file").write_text("something")
    with pytest.raises((FileExistsError, NotADirectoryError), match="^.*out must be a folder"):
        check_folder("out", home / "file" / inside)
    assert (home / "file").read_text() == "something"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_named_with_the_reason(number, home, monkeypatch):
    """Whoever runs the tests may be allowed everything, so the system's refusal is played."""
    refusal = OSError(number, "some reason")

    def refuse(**options):
        raise refusal

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(type(refusal), match=r"out must be a folder .*\(some reason\)") as caught:
        check_folder("out", home)
    assert caught.value.filename == str(home) and caught.value.errno == number


# ---- And so does whatever takes a path ----


@pytest.mark.parametrize("save", [True, False])
def test_a_history_is_saved_to_and_loaded_from_the_home_folder(save, home):
    history = fp.History(np.ones(2), np.eye(2))
    history.save("~/run.npz" if save else home / "run.npz")
    again, _ = fp.History.load(home / "run.npz" if save else "~/run.npz")
    assert np.array_equal(again.W, history.W) and (home / "run.npz").exists()


def sweep(folder):
    rng = np.random.default_rng(0)
    task = fp.LinearRegression(np.zeros((2, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))
    return fp.sweep(task, {fp.gradient: [0.01]}, 1, folder=folder, progress=False)


def test_a_sweep_keeps_its_runs_in_the_home_folder(home):
    sweep("~/runs")
    assert len(list((home / "runs").glob("*.npz"))) == 1
    assert not list((home.parent / "current").iterdir())


def test_a_sweep_refuses_a_folder_that_cannot_be_written_before_its_first_run(home, monkeypatch):
    (home / "file").write_text("something")
    monkeypatch.setattr("fpnotes.sweeps.train", None)
    with pytest.raises(OSError, match="folder must be a folder that can be written"):
        sweep(home / "file" / "runs")
