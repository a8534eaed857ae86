"""A circuit of excitatory and inhibitory neurons that learns contrast responses and surround suppression.

From the command line: ``python -m fpnotes.chapters.cortex --out DIR``. Every run is stored in that folder as
soon as it is finished, so the command can be stopped and started again. Its results are three tables,
which come with the package and are read by :func:`fpnotes.chapters.reproduce.results`.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import autograd.numpy as anp
import numpy as np
from scipy.special import erf

from fpnotes._paths import check_folder
from fpnotes._types import FloatArray
from fpnotes.activations import powerlaw
from fpnotes.chapters.reproduce import add_out_and_workers, made, until_stopped, write
from fpnotes.network import spectral_abscissa
from fpnotes.optimizers import Adam, Dale
from fpnotes.rules import gradient, linearized, linearized_without_gains, without_transport
from fpnotes.solvers import FixedPoint, solve
from fpnotes.sweeps import sweep
from fpnotes.tasks import Task

N_E, N_I = 20, 10
SIGNS = np.r_[np.ones(N_E), -np.ones(N_I)]
KIND = np.r_[
    np.zeros(N_E, int), np.ones(N_I, int)
]  # 0 for an excitatory neuron, 1 for an inhibitory one
PLACE = np.r_[np.arange(N_E), 2 * np.arange(N_I) + 0.5]  # on a ring of length 20
CURVE = powerlaw(2, 0.3)

CONTRASTS = (0.125, 0.25, 0.5, 1.0)
SIZES = (2, 4, 8, 16)
CENTERS = range(0, N_E, 5)  # the neurons that are recorded
# What is shown to a trained network: all of the above, and what lies between and beyond.
PROBE_CONTRASTS = (0.125, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)
PROBE_SIZES = (2, 3, 4, 6, 8, 12, 16, 20)

STEPS = 300
LONG = 1500  # steps at each rule's best rate
EVERY = 25
SEEDS = range(5)
SLOWNESS = (1, 1.5, 2, 3, 5, 10)  # time constants of inhibition, in those of excitation


RATES = {
    Dale(gradient, SIGNS): [0.003, 0.01, 0.03, 0.1],
    Dale(linearized, SIGNS): [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
    Dale(linearized_without_gains, SIGNS): [0.0003, 0.001, 0.003, 0.01, 0.03],
    Dale(without_transport, SIGNS): [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
    Dale(Adam(gradient), SIGNS): [0.003, 0.01, 0.03, 0.1, 0.3],
    Dale(Adam(linearized), SIGNS): [0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01],
}


def distance(a: Any, b: Any) -> Any:
    """Return the distance of places on the ring, broadcast against one another."""
    apart = np.abs(a - b) % N_E
    return np.minimum(apart, N_E - apart)


def stimulus(contrast: Any, size: Any, center: Any) -> FloatArray:
    """Return the input to every neuron, (30,), from a patch of some contrast and diameter.

    It is 5 times the contrast well within the patch, and falls off at its border over a length of about 1.
    """
    apart = distance(PLACE, center)
    return 2.5 * contrast * (erf(size / 2 + apart) + erf(size / 2 - apart))


def target(contrast: Any, size: Any) -> Any:
    """Return the rate that a neuron in the middle of a patch is to learn; book: eq-cortex-target.

    Contrast and size may be arrays, broadcast against one another.
    """
    contrast, size = np.asarray(contrast), np.asarray(size)
    center, surround = erf(size / 3) ** 2, erf(size / 8) ** 2
    return 5 * contrast**2 * center / (0.25 + 2.5 * contrast**2 * surround)


def recorded(contrasts: Any, sizes: Any) -> Any:
    """Return inputs and targets, (m, 30) each, of every contrast and size at each recorded neuron.

    A target is 0 for a neuron that is not recorded. The center changes fastest, then the size.
    """
    shown = [(c, s, i) for c in contrasts for s in sizes for i in CENTERS]
    x, y = np.array([stimulus(*one) for one in shown]), np.zeros((len(shown), N_E + N_I))
    for row, (c, s, i) in zip(y, shown, strict=True):
        row[i] = target(c, s)
    return x, y


def misfit(r: Any, y: Any) -> Any:
    """Return the loss Σ (r − y)²/y over Σ y, both over recorded neurons; book: eq-cortex-loss."""
    seen = y > 0
    return anp.sum(anp.where(seen, (r - y) ** 2 / anp.where(seen, y, 1.0), 0.0)) / anp.sum(y)


def student(seed: int) -> Task:
    """Return the task of a network with weak, local, random weights that obey Dale's law."""
    rng = np.random.default_rng(seed)
    # Mean weights to a neuron from all of a population, a fifth of those in Hennequin et al. 2018.
    total = 0.2 * np.array([[1.25, 0.65], [1.2, 0.5]])[KIND[:, None], KIND]
    near = np.exp(-(distance(PLACE[:, None], PLACE) ** 2) / (2 * 3**2))
    for kind in (0, 1):
        near[:, KIND == kind] /= near[:, KIND == kind].sum(axis=1, keepdims=True)
    factors = rng.lognormal(-0.045, 0.3, near.shape)  # of mean 1
    x, y = recorded(CONTRASTS, SIZES)
    return Task(SIGNS * total * near * factors, x, y, misfit, CURVE)


def growth(W: FloatArray, gain: FloatArray, slowness: float) -> Any:
    """Return the largest growth rate of a small push in units of 1/τ, shape (...).

    It is the largest real part of an eigenvalue of T⁻¹(GW − I): below 0 where the fixed point is stable when
    the inhibitory neurons are ``slowness`` times as slow as the excitatory ones, T = diag(1, …, slowness, …).
    """
    pace = np.where(KIND == 1, 1 / slowness, 1.0)
    jacobian = gain[..., :, None] * W - np.eye(len(W))
    return np.linalg.eigvals(pace[:, None] * jacobian).real.max(axis=-1)


def alone(W: FloatArray, gain: FloatArray) -> Any:
    """Return the spectral abscissa of G_E W_EE, shape (...): above 1, inhibition stabilizes the network."""
    return spectral_abscissa(W[:N_E, :N_E], gain[..., :N_E])


def answer(W: FloatArray, gain: FloatArray) -> Any:
    """Return how the mean rates of both populations answer a small uniform input to inhibition, (..., 2).

    The answer of all neurons is (I − GW)⁻¹G u, which needs no G⁻¹: a silent neuron has no gain.
    """
    pushed = (gain * KIND)[..., None]
    dr = np.linalg.solve(np.eye(len(W)) - gain[..., :, None] * W, pushed)[..., 0]
    return np.stack([dr[..., :N_E].mean(axis=-1), dr[..., N_E:].mean(axis=-1)], axis=-1)


def watch(task: Task, W: FloatArray, point: FixedPoint) -> dict[str, Any]:
    """Measure a network during training, over the stimuli that it is trained on.

    Returns
    -------
    dict
        The largest spectral abscissa of GW; the share of stimuli at which the excitatory neurons alone would
        be unstable; the share at which more input to all inhibitory neurons lowers their mean rate; the
        shares of weights at 0 and of silent rates.
    """
    return {
        "abscissa": point.spectral_abscissa.max(),
        "stabilized": np.mean(alone(W, point.gain) > 1),
        "paradoxical": np.mean(answer(W, point.gain)[..., 1] < 0),
        "zeros": np.mean(W == 0),
        "silent": np.mean(point.r == 0),
    }


def probe(W: FloatArray) -> Any:
    """Yield a row for every contrast and size, those of training among them: means over recorded neurons."""
    x, y = recorded(PROBE_CONTRASTS, PROBE_SIZES)
    point = solve(W, x, CURVE, on_failure="ignore", tol=1e-6)
    shape = (len(PROBE_CONTRASTS), len(PROBE_SIZES), len(CENTERS))
    rate, wanted = point.r[y > 0].reshape(shape), y[y > 0].reshape(shape)
    found = {
        "rate": rate.mean(axis=-1),
        "error": ((rate - wanted) ** 2 / wanted).mean(axis=-1),
        "abscissa": point.spectral_abscissa.reshape(shape).max(axis=-1),
        "alone": alone(W, point.gain).reshape(shape).mean(axis=-1),
        "answer_E": answer(W, point.gain)[:, 0].reshape(shape).mean(axis=-1),
        "answer_I": answer(W, point.gain)[:, 1].reshape(shape).mean(axis=-1),
        "converged": point.converged.reshape(shape).mean(axis=-1),
    }
    for i, contrast in enumerate(PROBE_CONTRASTS):
        for j, size in enumerate(PROBE_SIZES):
            values = {name: float(table[i, j]) for name, table in found.items()}
            yield {"contrast": contrast, "size": size, **values}


def slowest(W: FloatArray, gain: FloatArray) -> Any:
    """Return the slowest inhibition of SLOWNESS at which every sample's fixed point is stable, or 0."""
    bearable = [slowness for slowness in SLOWNESS if growth(W, gain, slowness).max() < 0]
    return max(bearable, default=0)


def agreement(rule: Any, task: Task, W: FloatArray, point: FixedPoint) -> Any:
    """Return ‖∇J‖_F, and the cosine of the angle between a rule's small clipped step and −∇J.

    Of Adam it is that of the rule within, before anything was remembered. NaN without a fixed point.
    """
    if not point.converged.all():
        return np.nan, np.nan
    inner = getattr(rule.rule, "rule", rule.rule)
    error = task.error(point.r, task.y)
    step = Dale(inner, SIGNS)(W, point, error, 1e-7)
    downhill = gradient(W, point, error, 1e-7)
    length = np.linalg.norm(downhill)
    return length / 1e-7, np.sum(step * downhill) / (np.linalg.norm(step) * length)


def best(runs: Any) -> Any:
    """Return ``{rule: rate}``: of the rates at which all draws stay stable, that of least median loss.

    Parameters
    ----------
    runs : iterable of dict
        Rows of the table ``cortex-runs``, of one length. A rate counts if in no draw the run diverged, and in
        none a fixed point that was looked at had a spectral abscissa of 1 or more.
    """
    ends = {}
    for run in runs:
        calm = not run["diverged"] and run["worst_abscissa"] < 1
        ends.setdefault(run["rule"], {}).setdefault(run["lr"], []).append(
            run["loss"] if calm else np.inf
        )
    chosen = {}
    for rule, losses in ends.items():
        medians = {lr: np.median(some) for lr, some in losses.items() if np.isfinite(some).all()}
        if medians:
            chosen[rule] = min(medians, key=medians.__getitem__)
    return chosen


def cortex(out: Any, *, workers: int = 2, progress: bool = True) -> None:
    """Run what the chapter shows, and write its tables into a folder.

    All rules and rates are trained for STEPS steps. Then each rule whose median loss has come below 0.1 is
    trained for LONG steps at the rate that :func:`best` returns, and where a run diverges there, at the next
    smaller one, and so on.

    Parameters
    ----------
    out : path
        The folder for ``cortex-runs.csv``, ``cortex-curves.csv``, ``cortex-probes.csv`` and the runs.
    workers : int
        Processes.
    progress : bool
        Show a progress bar.

    Raises
    ------
    OSError
        When ``out`` cannot be written, before anything is computed.
    KeyboardInterrupt
        When it is stopped by hand: finished runs are kept, and no table is written.
    """
    # Not in a browser, which has no processes, and where the circuit can be studied all the same.
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    out = check_folder("out", out)
    options = {"record": watch, "every": EVERY, "tol": 1e-6}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:

        def train_all(rates, steps):
            histories = sweep(
                student,
                rates,
                steps,
                seeds=SEEDS,
                folder=out / "runs",
                executor=executor,
                progress=progress,
                **options,
            )
            if len(histories) < len(SEEDS) * sum(map(len, rates.values())):
                raise KeyboardInterrupt
            return {
                (_short(rule), lr, seed): history for (rule, lr, seed), history in histories.items()
            }

        short = train_all(RATES, STEPS)
        runs = [{**_name(key), "planned": STEPS, **_summary(key, h)} for key, h in short.items()]
        long, rates = {}, {}
        for rule in RATES:
            lr = best(runs).get(name := _short(rule.__name__))
            if lr and np.median([short[name, lr, seed].loss[-1] for seed in SEEDS]) < 0.1:
                rates[rule] = [lr]
        while rates:
            found = train_all(rates, LONG)
            long |= found
            rows = [{**_name(key), "planned": LONG, **_summary(key, h)} for key, h in found.items()]
            runs += rows
            broken = {run["rule"] for run in rows if run["diverged"]}
            smaller = {
                rule: [lr for lr in RATES[rule] if lr < tried][-1:]
                for rule, (tried,) in rates.items()
                if _short(rule.__name__) in broken
            }
            rates = {rule: lrs for rule, lrs in smaller.items() if lrs}
    curves = [{**_name(key), **row} for key, history in long.items() for row in _curve(history)]
    networks = {("start", 0.0, seed): student(seed).W0 for seed in SEEDS}
    networks |= {key: history.W for key, history in long.items()}
    probes = [{**_name(key), **row} for key, W in networks.items() for row in probe(W)]
    lines = made("fpnotes.chapters.cortex")
    write(out / "cortex-runs.csv", lines, runs)
    write(out / "cortex-curves.csv", lines, curves)
    write(out / "cortex-probes.csv", lines, probes)


def _short(name):
    """Return a rule's name without the law that all of them obey."""
    return name.removesuffix("+dale")


def _name(key):
    return dict(zip(("rule", "lr", "seed"), key, strict=True))


def _summary(key, history):
    """Return how a run ended."""
    name, _, seed = key
    rule = next(rule for rule in RATES if _short(rule.__name__) == name)
    task = student(seed)
    point = solve(history.W, task.x, CURVE, on_failure="ignore", tol=1e-6)
    slope, cosine = agreement(rule, task, history.W, point)
    return {
        "diverged": history.diverged_at is not None,
        "steps": history.steps,
        "loss": history.loss[-1],
        "worst_abscissa": history.recorded["abscissa"].max(),
        "slowness": slowest(history.W, point.gain),
        "slope": slope,
        "cosine": cosine,
        **{name: values[-1] for name, values in history.recorded.items() if name != "step"},
    }


def _curve(history):
    """Yield what was measured during a run, beside the loss."""
    for i, step in enumerate(history.recorded["step"]):
        values = {name: column[i] for name, column in history.recorded.items()}
        yield {"loss": history.loss[step], **values}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m fpnotes.chapters.cortex", description=__doc__)
    add_out_and_workers(parser)
    given = parser.parse_args(arguments)
    until_stopped(cortex, given.out, workers=given.workers)


if __name__ == "__main__":
    # The module by its name: stored runs are known by the names of the functions that made them.
    from fpnotes.chapters import cortex as module

    module.main()
