"""Training: solve, measure, update, and notice when it goes wrong."""

import copy
import difflib
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from fpnotes._data import checksum, text_of
from fpnotes._history import History, as_recorded
from fpnotes._inputs import check_count, check_positive, check_square_matrix
from fpnotes._progress import advance, progress_bar
from fpnotes._state import Checkpoint, copied_rule, has_state, rule_name
from fpnotes._types import Real
from fpnotes.network import SingularityError
from fpnotes.rules import Rule, gradient, linearized, reparameterized
from fpnotes.solvers import ConvergenceError, FixedPoint, solve, solve_checked
from fpnotes.tasks import Digits, LinearRegression, TaskLike

__all__ = ["History", "keep_memory", "train"]

History.__module__ = __name__  # where it is imported from, and so documented

OWN_SOLVE, OWN_RULES = solve, (gradient, linearized, reparameterized)


def keep_memory() -> None:
    """Let this process keep the memory it frees, up to 32 MB, instead of giving it back to the system.

    Linux's allocator otherwise gets the arrays of every training step back empty, which can double the time
    of a step of 200 neurons. It keeps as much as the largest array that it has seen freed; the one here is
    never touched. It concerns the whole process, and so it is left to you.

    Examples
    --------
    >>> import fpnotes as fp
    >>> fp.keep_memory()
    """
    np.empty(2**25 - 2**16, np.uint8)


def train(
    task: TaskLike,
    rule: Rule,
    lr: Real | Callable[[int], float],
    steps: int,
    *,
    seed: int | None = None,
    progress: bool = True,
    record: Callable[..., dict[str, Any]] | dict[str, Any] | None = None,
    every: int = 1,
    unconverged: Literal["stop", "drop"] = "stop",
    resume: History | None = None,
    solve: Callable[..., FixedPoint] = solve,
    **solver: Any,
) -> History:
    """Train a task's weights by a rule, W ← W + rule(W, point, error, lr).

    Parameters
    ----------
    task : Task
        What to learn; see :mod:`fpnotes.tasks`.
    rule : callable
        ``rule(W, point, error, lr) -> dW``; see :mod:`fpnotes.rules`. A run works on a copy of it, so that a
        rule with a state, such as momentum, starts as it was given and is left as it was, whether the
        state is in an object or in the variables of a function that made the rule. Global variables and
        class attributes are not copied.
    lr : float, or function of the step
        Learning rate η, or ``lr(k)`` that returns it for step k = 0, 1, …; it is asked for all steps before
        the first.
    steps : int
        Number of updates. With 0 the loss is measured, and recordings are made, but nothing is trained.
    seed : int, optional
        For the order of a task's batches.
    progress : bool
        Show a progress bar.
    record : dict of callables, or callable, optional
        What else to keep: ``{"name": function(W, point)}``, or one ``function(task, W, point)`` that
        returns the values by name.
    every : int
        Record before the first step, then after every so many steps, and after the last.
    unconverged : {"stop", "drop"}
        What to do about a sample whose fixed point is not found: end the run there, or leave the sample
        out of the step, whose loss is then that of the others. ``History.dropped`` says how many were.
    resume : History, optional
        An earlier run of this task, rule and seed, to go on from: its W, its rule's state, and the batches
        that come next. Its losses and recordings come first in the history returned, so that 20 steps
        and 20 more are the same, number by number, as 40. Steps are counted through, for lr(k) and
        ``every``; ``steps`` are those to add. The seed is that run's, and need not be given again. What
        record, solve or task remember by themselves does not go on. A task whose loss there is another, by
        more than 1 %, is refused.
    solve : callable
        How fixed points are found; called as :func:`fpnotes.solvers.solve`.
    **solver
        Its options, such as tol.

    Returns
    -------
    History
        A run that diverges (no fixed point, a step onto a singularity, a loss, a ∂J/∂r, an update or
        weights that are not finite) stops there: the history holds all that came before and says when
        and why. So does one that is interrupted by hand, with a warning. A recorded value may be NaN.

    Raises
    ------
    ValueError, TypeError
        When an argument, or what a function of the caller's returns, has the wrong value, type or shape;
        the message names it.

    Notes
    -----
    Every function gets copies of arrays, in which it may work, and may return the same array at every call;
    the arrays of ``point`` are read-only. An error that one of them raises comes through with a note that
    says at which step, and its attribute ``history`` is the run until then. What ``numpy.seterr`` says does
    not matter here: functions are called with NumPy's floating-point warnings off, and a run looks for
    numbers that are not finite itself.

    Examples
    --------
    >>> import fpnotes as fp
    >>> task = fp.LinearRegression.one_neuron(w0=0.0, w_star=-1.0)
    >>> history = fp.train(task, fp.linearized, lr=10.0, steps=40, progress=False)
    >>> history.W.round(1)
    array([[-1.]])
    """
    steps, every = check_count("steps", steps, least=0), check_count("every", every)
    _check_functions(task, rule, record, solve)
    known = _options_of(solve)
    _check_options(known, solver)
    if unconverged not in ("stop", "drop"):
        raise ValueError(f"unconverged must be 'stop' or 'drop', not {unconverged!r}")
    if unconverged == "drop":
        if solver.get("on_failure", "ignore") != "ignore":
            raise ValueError(
                "on_failure must be left out, or be 'ignore', where unconverged='drop'"
            )
        if known is None or "on_failure" in known:
            solver["on_failure"] = "ignore"
    if seed is not None:
        seed = check_count("seed", seed, least=0)
    run = _Run(task, rule, seed, resume, solve, solver, drop=unconverged == "drop")
    rates = _rates(lr, run.taken, steps)
    last = run.taken + steps
    label = f"lr {rates[0]:g}" if rates else "no steps"
    with (
        np.errstate(all="ignore"),
        progress_bar(progress, total=steps, leave=False, desc=label) as bar,
    ):
        try:
            for rate in [*rates, None]:
                point, y = run.measure()
                if record is not None and (run.taken % every == 0 or rate is None):
                    run.record(record, point)
                if rate is not None:
                    run.step(point, y, rate)
                    advance(bar, loss=f"{run.measured[-1][0]:.3g}")
        except (ConvergenceError, SingularityError, FloatingPointError) as failure:
            return run.history(diverged_at=run.taken, reason=str(failure))
        except KeyboardInterrupt:
            message = f"interrupted after {run.taken} of {last} steps"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return run.history(interrupted=True)
        except Exception as error:
            error.add_note(f"raised by {run.doing} at step {run.taken} of {last}")
            if "read-only" in str(error):
                error.add_note("the arrays of point are read-only: work in a copy of them")
            vars(error)["history"] = run.history()
            raise
    return run.history()


class _Run:
    """A run as far as it has come; whatever ends it, W and the rule are those after ``taken`` steps."""

    def __init__(self, task, rule, seed, resume, solve, solver, drop):
        W = check_square_matrix("task.W0", task.W0).copy()
        self.task, self.solve, self.solver, self.drop = task, solve, solver, drop
        self.given, self.rule = rule, copied_rule(rule)
        self.taken, self.W, self.seed = 0, W, seed
        self.measured, self.rows, self.before = [], [], {}
        self.batch, self.expected, self.last_loss = None, (-1, ""), None
        self.doing = "task.batches"
        if resume is not None:
            checkpoint = _check_resume(resume, W, seed)
            self.rule, self.seed = checkpoint.restored(rule), checkpoint.seed
            self.taken, self.W = resume.steps, resume.W.copy()
            # Its last loss and recording belong to the step that comes next, and are made again there.
            losses, dropped = resume.loss[: self.taken], resume.dropped[: self.taken]
            self.measured = list(zip(losses.tolist(), dropped.tolist(), strict=True))
            if resume.recorded:
                rows = resume.recorded["step"] < self.taken
                self.before = {name: values[rows] for name, values in resume.recorded.items()}
            self.expected = checkpoint.batch
            if len(resume.loss) > self.taken and not resume.dropped[self.taken]:
                self.last_loss = float(resume.loss[self.taken])
        # Functions get copies, in which they may work; those of the package that do not need none.
        self.lend_batch = type(task) in (LinearRegression, Digits)
        self.lend_to_solve = solve is OWN_SOLVE
        if self.lend_to_solve:
            self.solver = (OWN_SOLVE.__kwdefaults__ or {}) | solver
        self.lend_to_rule = self.lend_to_solve and any(rule is own for own in OWN_RULES)
        self.batches: Iterator = task.batches(np.random.default_rng(self.seed))
        self.stateful = has_state(self.rule)
        for step in range(self.taken):
            self.next_batch(step)

    def next_batch(self, step):
        """Return the inputs and targets of a step; raise if an earlier run saw others at that step."""
        self.doing = "task.batches"
        try:
            x, y = next(self.batches)
            if not self.lend_batch:
                x, y = copy.deepcopy((x, y))
        except StopIteration:
            raise ValueError(
                f"task.batches ended before step {step}: it must yield without end"
            ) from None
        if np.size(x) == 0:
            raise ValueError("task has no samples: a batch is empty")
        if step == self.expected[0] and _batch_sum(x, y) != self.expected[1]:
            raise ValueError(
                f"resume is of a run that saw another batch at step {step}: the task is another, or its "
                "batches are drawn at random and the run had no seed"
            )
        return x, y

    def measure(self):
        """Solve at W for the next batch, and measure the loss."""
        x, y = self.next_batch(self.taken)
        self.batch = self.taken, x, y
        self.doing, dropped = "solve", 0
        if self.lend_to_solve and self.lend_batch and self.W.dtype == x.dtype:
            self.W.flags.writeable = False
            point = solve_checked(self.W, x, self.task.activation, **self.solver)
        else:
            point = self.solve(self.W.copy(), copy.copy(x), self.task.activation, **self.solver)
        if self.drop:
            found = np.asarray(point.converged)
            dropped = int((~found).sum())
            if not found.any():
                raise ConvergenceError(f"none of {found.size} samples converged", point)
            if dropped:
                point, y = point[found], np.asarray(y)[found]
        self.doing = "task.loss"
        loss = np.asarray(self.task.loss(*self._rates_and_targets(point, y)))
        if loss.dtype.kind not in "biuf" or loss.size != 1:
            raise TypeError(f"task.loss must return a real number, not {_described(loss)}")
        if not np.isfinite(loss).all():
            raise FloatingPointError("the loss is not finite")
        loss = float(loss.item())
        if self.last_loss is not None and not dropped:
            self._check_same_loss(self.last_loss, loss)
            self.last_loss = None
        self.measured.append((loss, dropped))
        return point, y

    def _check_same_loss(self, before, loss):
        """Raise if, where a run goes on, its weights and batch have another loss than they had."""
        largest = max((loss for loss, _ in self.measured), default=0)
        size = max(abs(loss), abs(before))
        # Another solver or tolerance may be used from here on, and change a loss that is almost 0.
        if abs(loss - before) > 0.01 * size and size > 1e-3 * abs(largest):
            raise ValueError(
                f"resume is of a run whose loss was {before:.4g} where this one has {loss:.4g}, at the same "
                "weights and batch: its loss or curve is another, and the losses of the two make no one "
                "history. To go on in another way, start a run of a task whose W0 is resume.W"
            )

    def _rates_and_targets(self, point, y):
        """Return what the task's loss and error are given."""
        return (point.r, y) if self.lend_batch else (point.r.copy(), copy.deepcopy(y))

    def record(self, record, point):
        """Record what was asked for."""
        if callable(record):
            self.doing = "record"
            values = record(self.task, self.W.copy(), point)
            if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
                raise TypeError(f"record must return a dict of values by name, not {values!r}")
            if "step" in values:
                raise ValueError("record cannot give the name 'step', under which train counts")
        else:
            values = {}
            for name, function in record.items():
                self.doing = f"record[{name!r}]"
                values[name] = function(self.W.copy(), point)
        self.rows.append({"step": self.taken, **{k: _own(v) for k, v in values.items()}})

    def step(self, point, y, lr):
        """Take a step, wholly or not at all."""
        self.doing = "task.error"
        error = self.task.error(*self._rates_and_targets(point, y))
        error = np.asarray(error) if self.lend_batch else np.array(error)
        _check_array("task.error", error, point.r.shape)
        if not np.isfinite(error).all():
            raise FloatingPointError("the error dJ/dr is not finite")
        self.doing = name = f"rule {rule_name(self.given)}"
        rule = copied_rule(self.rule) if self.stateful else self.rule
        dW = np.asarray(rule(point.W if self.lend_to_rule else self.W.copy(), point, error, lr))
        _check_array(name, dW, self.W.shape)
        W = self.W + dW
        if not np.isfinite(W).all():
            update = "the update is not finite"
            after = "the weights are not finite after the update"
            raise FloatingPointError(after if np.isfinite(dW).all() else update)
        self.W, self.rule, self.taken = W, rule, self.taken + 1

    def history(self, **end):
        """Return what has happened until now."""
        step, *batch = self.batch or (-1, None, None)
        names = dict.fromkeys([*self.before, *(name for row in self.rows for name in row)])
        count_before = len(self.before.get("step", ()))
        recorded = {}
        for name in names:
            new = as_recorded([row.get(name) for row in self.rows])
            recorded[name] = _joined(self.before.get(name), new, count_before)
        return History(
            loss=np.array([loss for loss, _ in self.measured]),
            W=self.W,
            recorded=recorded,
            steps=self.taken,
            dropped=np.array([dropped for _, dropped in self.measured], int),
            checkpoint=Checkpoint.of(self.rule, self.given, self.seed, (step, _batch_sum(*batch))),
            **end,
        )


def _joined(before, new, rows):
    """Join recordings of an earlier run to new ones, as if they had been made in one run."""
    if rows == 0:
        return new
    before = [None] * rows if before is None else before
    return as_recorded([*before, *new])


def _rates(lr, first, steps):
    """Return the learning rate of every step."""
    if callable(lr):
        _check_call("lr", lr, ["k"])
        return [check_positive(f"lr({k})", lr(k)) for k in range(first, first + steps)]
    if np.ndim(lr) or isinstance(lr, Iterator):
        raise TypeError(
            f"lr must be a positive number or a function of the step, lr(k), not a {type(lr).__name__}"
        )
    return [check_positive("lr", lr)] * steps


def _check_resume(history, W, seed):
    """Return the checkpoint of a history from which a run of this size and seed can go on."""
    if not isinstance(history, History):
        raise TypeError(f"resume must be a History, not {type(history).__name__}")
    checkpoint = history.checkpoint
    if checkpoint is None:
        raise ValueError("resume must be a History that train returned, which holds how to go on")
    if history.W.shape != W.shape:
        raise ValueError(
            f"resume is of a network of {len(history.W)} neurons, and task has {len(W)}"
        )
    if seed not in (None, checkpoint.seed):
        raise ValueError(f"resume is of a run with seed {checkpoint.seed}, not {seed}")
    return checkpoint


def _check_functions(task, rule, record, solve):
    missing = [
        name for name in ("W0", "activation", "batches", "loss", "error") if not hasattr(task, name)
    ]
    if missing:
        raise TypeError(
            f"task must be a Task, or have its attributes; missing: {', '.join(missing)}"
        )
    _check_call("rule", rule, ["W", "point", "error", "lr"])
    _check_call("solve", solve, ["W", "x", "activation"])
    if callable(record):
        _check_call("record, where it is no dict,", record, ["task", "W", "point"])
    elif record is not None:
        if not isinstance(record, dict) or not all(isinstance(name, str) for name in record):
            raise TypeError(
                f"record must be a dict of functions by name, or a function, not {record!r}"
            )
        if "step" in record:
            raise ValueError("record cannot give the name 'step', under which train counts")
        for name, function in record.items():
            _check_call(f"record[{name!r}]", function, ["W", "point"])


def _check_call(name, function, arguments):
    """Raise unless ``function`` can be called with these arguments."""
    expected = f"{name} must be a function of ({', '.join(arguments)})"
    if not callable(function):
        raise TypeError(f"{expected}, not {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and silent about it
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{expected}: {error}") from None


def _options_of(solve):
    """Return the names of the options that ``solve`` takes; None where it takes any."""
    try:
        parameters = list(inspect.signature(solve).parameters.values())
    except (TypeError, ValueError):  # written in C, and silent about it
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters[3:]]


def _check_options(known, options):
    """Raise where neither train nor solve has such an option, and name the nearest."""
    for option in options:
        if known is not None and option not in known:
            parameters = inspect.signature(train).parameters.values()
            own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            near = difflib.get_close_matches(option, [*own, *known], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"train has no option {option!r}{hint}")


def _check_array(name, array, shape):
    """Raise unless an array that a function returned is of real numbers and of this shape."""
    if array.dtype.kind not in "biuf" or array.shape != shape:
        raise (TypeError if array.dtype.kind not in "biuf" else ValueError)(
            f"{name} must return real numbers of shape {shape}, not {_described(array)}"
        )


def _described(array):
    if array.dtype == object:
        return f"a {type(array.item()).__name__}" if array.ndim == 0 else "an array of objects"
    return f"numbers of shape {array.shape} and dtype {array.dtype}"


def _batch_sum(x, y):
    """Return a checksum of a batch; empty where it holds more than numbers and text."""
    try:
        return checksum(text_of([np.asarray(x), np.asarray(y)]))
    except Exception:  # targets may be anything
        return ""


def _own(value):
    """Return a copy of a recorded value; of one that cannot be copied, the value."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value
