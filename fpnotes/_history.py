"""What happened in a training run, in memory and in a file."""

import json
import os
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

import numpy as np

from fpnotes._data import decode, encode
from fpnotes._paths import check_path
from fpnotes._state import Checkpoint
from fpnotes._text import counted
from fpnotes._types import Array, FloatArray, IntArray

__all__ = ["History", "as_recorded"]

FORMAT = 1


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What happened in a training run, as plain arrays, which are copies and read-only.

    Histories are compared by identity: compare their arrays by ``numpy.array_equal``.

    Attributes
    ----------
    loss : (k + 1,) array
        J before training and after each of the k steps that were taken, each on its step's batch.
    W : (N, N) array
        The weights after the last of them.
    recorded : dict of arrays
        What ``train`` was asked to record, one row per recording; ``"step"`` says after how many steps.
        Values whose shape or kind changes from one recording to the next are in an array of objects,
        one per recording; None stands for a value that was not given.
    diverged_at : int or None
        The number of steps taken when the run diverged; None if it did not.
    reason : str
        In what way it diverged.
    interrupted : bool
        Whether the run was stopped by hand.
    steps : int
        k, the number of steps that led to W.
    dropped : int array, one per loss
        How many samples of the batch were left out because their fixed point was not found; see
        ``unconverged`` of :func:`fpnotes.training.train`.
    checkpoint : object or None
        What :func:`fpnotes.training.train` needs to go on from here, the rule's state included.

    Examples
    --------
    >>> import fpnotes as fp
    >>> history = fp.train(fp.LinearRegression.one_neuron(), fp.linearized, 10.0, 20, progress=False)
    >>> history.diverged_at is None, len(history.loss)
    (True, 21)
    """

    loss: FloatArray
    W: FloatArray
    recorded: dict[str, Array] = field(default_factory=dict)
    diverged_at: int | None = None
    reason: str = ""
    interrupted: bool = False
    steps: int = -1
    dropped: IntArray = field(default_factory=lambda: np.zeros(0, int))
    checkpoint: Checkpoint | None = None

    def __post_init__(self) -> None:
        """Copy what was given."""
        loss = _fixed(np.array(self.loss, float))
        dropped = self.dropped if np.size(self.dropped) else np.zeros(loss.shape)
        fields = {
            "loss": loss,
            "W": _fixed(np.array(self.W)),
            "recorded": {name: _fixed(np.array(v)) for name, v in self.recorded.items()},
            "steps": max(len(loss) - 1, 0) if self.steps < 0 else self.steps,
            "dropped": _fixed(np.array(dropped, int)),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Return one line: how far the run got, and how it ended."""
        parts = [counted(self.steps, "step"), counted(len(self.W), "neuron")]
        if len(self.loss):
            parts.insert(1, f"loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}")
        if self.recorded:
            parts.append(f"recorded {', '.join(self.recorded)}")
        if np.any(self.dropped):
            parts.append(f"dropped {counted(np.sum(self.dropped), 'sample')}")
        if self.diverged_at is not None:
            # A console that cannot show a message's ′ or ∂ must still be able to print this line.
            reason = self.reason.encode("ascii", "backslashreplace").decode()
            parts.append(f"diverged at {self.diverged_at}: {reason}")
        if self.interrupted:
            parts.append("interrupted")
        return f"History({', '.join(parts)})"

    def save(self, path: str | os.PathLike[str], settings: str = "") -> None:
        """Write to an .npz file, whole or not at all, in plain arrays and text that need no pickle.

        Parameters
        ----------
        path : path
            The file's name, taken as it is.
        settings : str
            A line to find again in it.

        Raises
        ------
        TypeError
            Before anything is written, when something recorded is neither numbers nor text, nor lists or
            dicts of these.
        OSError
            When path is a folder, or is in none, or cannot be written.

        Notes
        -----
        A rule's state that cannot be stored in this way is left out: the history is saved, and a run
        that should go on from it is refused, with the reason.
        """
        arrays, parts, objects = {}, [], {}
        for name, values in self.recorded.items():
            if values.dtype != object:
                arrays[f"recorded.{name}"] = values
                continue
            try:
                objects[name] = encode(list(values), parts)
            except TypeError as error:
                raise TypeError(
                    f"recorded[{name!r}] cannot be saved: {error}. Record numbers instead, or save "
                    "dataclasses.replace(history, recorded=...) without it"
                ) from None
        arrays |= {f"part.{i}": array for i, array in enumerate(parts)}
        if self.checkpoint is not None:
            stored = dict(vars(self.checkpoint))
            for i, array in enumerate(stored.pop("arrays")):
                arrays[f"state.{i}"] = array
            arrays["checkpoint"] = np.array(json.dumps(stored))
        arrays |= {
            "format": np.array(FORMAT),
            "names": np.array(json.dumps(list(self.recorded))),
            "objects": np.array(json.dumps(objects)),
            "loss": self.loss,
            "W": self.W,
            "diverged_at": np.array([] if self.diverged_at is None else [self.diverged_at], int),
            "reason": np.array(self.reason),
            "interrupted": np.array(self.interrupted),
            "steps": np.array(self.steps),
            "dropped": self.dropped,
            "settings": np.array(settings),
        }
        path = check_path("path", path)
        if path.is_dir() or not path.parent.is_dir():
            raise (IsADirectoryError if path.is_dir() else FileNotFoundError)(
                f"path must be a file in a folder that exists, not {str(path)!r}"
            )
        part = path.with_name(f".{uuid4().hex}.part")
        try:
            with open(part, "wb") as file:
                np.savez_compressed(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[Self, str]:
        """Return the history that :meth:`save` wrote, and its settings.

        Raises
        ------
        ValueError
            When the file holds something else, or is damaged.
        """
        path = check_path("path", path)
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                stored = {name: file[name] for name in file.files}
            if stored.get("format") == FORMAT:
                return cls._from(stored), str(stored["settings"])
        except OSError:  # it may be whole
            raise
        except Exception as error:  # a damaged archive raises nearly anything
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} is no history, or damaged: {problem}") from error
        raise ValueError(f"{path} was not written by History.save, or by another version of it")

    @classmethod
    def _from(cls, stored: dict[str, Array]) -> Self:
        """Make a history of the arrays that were stored."""
        checkpoint = None
        if "checkpoint" in stored:
            fields = json.loads(str(stored["checkpoint"]))
            fields |= {"arrays": _numbered(stored, "state."), "batch": tuple(fields["batch"])}
            checkpoint = Checkpoint(**fields)
        parts, objects = _numbered(stored, "part."), json.loads(str(stored["objects"]))
        return cls(
            stored["loss"],
            stored["W"],
            {
                name: as_objects(decode(objects[name], parts))
                if name in objects
                else stored[f"recorded.{name}"]
                for name in json.loads(str(stored["names"]))
            },
            next(iter(stored["diverged_at"].tolist()), None),
            str(stored["reason"]),
            bool(stored["interrupted"]),
            int(stored["steps"]),
            stored["dropped"],
            checkpoint,
        )


def as_recorded(values):
    """Return recorded values as one array, one row per recording, or as an array of objects."""
    try:
        arrays = [np.asarray(value) for value in values]
    except Exception:  # of unequal lengths, or objects that NumPy cannot take apart
        return as_objects(values)
    kinds = {array.dtype.kind for array in arrays}
    alike = len({array.shape for array in arrays}) == 1
    if alike and "O" not in kinds and (len(kinds) == 1 or kinds <= set("biufc")):
        return np.array(arrays)
    return as_objects(values)


def as_objects(values):
    """Return an array of one object per value, whatever they are."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _numbered(stored, prefix):
    count = sum(name.startswith(prefix) for name in stored)
    return tuple(stored[f"{prefix}{i}"] for i in range(count))


def _fixed(array):
    array.flags.writeable = False
    return array
