"""The opening experiment: two directions of a network's weights as a map, and many learning rates on it.

From the command line, ``python -m fpnotes.chapters.opening`` makes the table ``opening.csv``: for each
draw of the map, rule and learning rate, after how many steps each of the sixteen starts has come to
the star to stay, on a path that crosses no singularity.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fpnotes._linear import solve_stack
from fpnotes._types import ArrayLike, BoolArray, FloatArray, IntArray
from fpnotes.chapters.reproduce import made, write

RULES = ("gradient", "reparameterized", "linearized")
RATES = {
    "gradient": [0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0],
    "reparameterized": [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0],
    "linearized": [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0],
}
STEPS = 20_000
DRAWS = range(5)
NEAR = 0.02  # so close to the star a path is there
STAY = 100  # steps


class Map:
    """A plane of weights W = best + t₁U + t₂V through weights that answer every input exactly.

    Parameters
    ----------
    seed : int
        Draws the N-neuron linear network, its m inputs and answers, and the two directions U and V.
    N, m : int
    """

    def __init__(self, seed: int = 0, N: int = 20, m: int = 10):
        rng = np.random.default_rng(seed)
        # The answers y to the inputs x are those of another network, with a little noise.
        self.x: FloatArray = 0.1 * rng.normal(size=(m, N))
        W_hat = 0.5 * rng.normal(size=(N, N)) / np.sqrt(N)
        y = np.linalg.solve(np.eye(N) - W_hat, self.x.T).T
        self.y: FloatArray = y + 0.01 * rng.normal(size=(m, N))
        # best y + x = y
        self.best: FloatArray = (self.y - self.x).T @ np.linalg.pinv(self.y.T)
        self.U: FloatArray
        self.V: FloatArray
        self.U, self.V = 2.5 * rng.normal(size=(2, N, N)) / np.sqrt(N)

    @cached_property
    def starts(self) -> FloatArray:
        """Sixteen points around the star, (16, 2)."""
        angles = 2 * np.pi * np.arange(16) / 16
        return 0.4 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def weights(self, t1: ArrayLike, t2: ArrayLike) -> FloatArray:
        """Return the weights at points of the map, (..., N, N)."""
        t1, t2 = (np.asarray(t)[..., None, None] for t in (t1, t2))
        return self.best + t1 * self.U + t2 * self.V

    def loss(self, W: FloatArray) -> FloatArray:
        """Return the mean squared error of the fixed points for weights (..., N, N)."""
        r = np.linalg.solve(np.eye(len(self.best)) - W, self.x.T)  # columns are samples
        return ((r - self.y.T) ** 2).sum(axis=(-2, -1)) / len(self.x)

    def step(self, rule: str, t: FloatArray, lr: float) -> FloatArray:
        """Return where one step of a rule leads from points of the map, (k, 2).

        With all weights free the step would leave the map. The point returned is the one on it that is
        nearest to where the rule leads: in W for gradient descent, in the response for the other two.
        """
        B = np.eye(len(self.best)) - self.weights(*t.T)
        A = np.linalg.inv(B)
        slope = 2 * (A @ self.x.T - self.y.T) @ self.x / len(self.x)  # ∇_A J
        change = np.stack([A @ self.U @ A, A @ self.V @ A], axis=1)  # of A along the map
        if rule == "gradient":
            frame = np.stack([self.U, self.V])
            slopes = -lr * np.einsum("kdij,kij->kd", change, slope)  # ⟨U, ΔW₁⟩ = −η⟨A U A, ∇_A J⟩
            return t + _least_squares(np.einsum("dij,eij->de", frame, frame), slopes)
        wanted = -lr * slope
        if rule == "reparameterized":
            wanted = A - A @ solve_stack(A + wanted, A)  # A dW A for dW = B − (A + wanted)⁻¹
        gram = np.einsum("kdij,keij->kde", change, change)
        return t + _least_squares(gram, np.einsum("kdij,kij->kd", change, wanted))

    def path(self, rule: str, lr: float, steps: int) -> FloatArray:
        """Return the path of a rule from all starts, (steps + 1, 16, 2)."""
        path = [self.starts]
        for _ in range(steps):
            path.append(self.step(rule, path[-1], lr))
        return np.array(path)

    def crosses(self, t: FloatArray, ahead: FloatArray) -> BoolArray:
        """Return whether a singularity lies on the straight way between points of the map, (k,) bool."""
        change = self.weights(*ahead.T) - self.weights(*t.T)
        relative = np.linalg.solve(np.eye(len(self.best)) - self.weights(*t.T), change)
        # det(I − W − s dW) = 0 where 1/s is an eigenvalue of (I − W)⁻¹dW; none reaches the norm.
        long = np.linalg.norm(relative, axis=(1, 2)) >= 1
        inverse = np.linalg.eigvals(relative[long])
        crossed = np.zeros(len(t), bool)
        crossed[long] = ((np.abs(inverse.imag) < 1e-9) & (inverse.real >= 1)).any(axis=1)
        return crossed

    def arrivals(self, rule: str, lr: float, steps: int = STEPS) -> IntArray:
        """Return after how many steps each start comes to the star to stay, (16,); −1 if it does not.

        To stay is to be there for STAY steps. A path that crosses a singularity is given up, and so is
        one that has come to rest elsewhere or left the map far behind.
        """
        t, live = self.starts.copy(), np.arange(16)
        arrived, since = np.full(16, -1), np.full(16, -1)
        for k in range(1, steps + STAY + 1):
            before, ahead = t[live], self.step(rule, t[live], lr)
            t[live] = ahead
            here = np.isfinite(ahead).all(axis=1) & (np.abs(ahead).max(axis=1) < 1000)
            here[here] = ~self.crosses(before[here], ahead[here])
            near = here & (np.linalg.norm(ahead, axis=1) < NEAR)
            since[live] = np.where(near, np.where(since[live] < 0, k, since[live]), -1)
            home = near & ((k - since[live] >= STAY) | (ahead == before).all(axis=1))
            in_time = live[home & (since[live] <= steps)]
            arrived[in_time] = since[in_time]
            moving = near | (np.abs(ahead - before).max(axis=1) > 1e-12)
            live = live[here & ~home & moving]
            if not len(live):
                break
        return arrived


def _least_squares(gram, right):
    """Return gram⁻¹ right for (..., 2, 2) and (..., 2) arrays; not finite where gram is singular."""
    (a, b), (c, d) = np.moveaxis(gram, (-2, -1), (0, 1))
    p, q = np.moveaxis(right, -1, 0)
    with np.errstate(all="ignore"):
        return np.stack([d * p - b * q, a * q - c * p], axis=-1) / (a * d - b * c)[..., None]


def rows(seed: int) -> list[dict[str, Any]]:
    """Return the table's rows of one map."""
    map_, found = Map(seed), []
    for rule in RULES:
        for lr in RATES[rule]:
            arrived = map_.arrivals(rule, lr)
            found += [
                {"seed": seed, "rule": rule, "lr": lr, "start": i, "steps": k}
                for i, k in enumerate(arrived.tolist())
            ]
    return found


def main() -> None:
    """Make the table."""
    with ProcessPoolExecutor(2) as executor:
        table = [row for found in executor.map(rows, DRAWS) for row in found]
    write(
        Path(__file__).parent / "tables" / "opening.csv",
        made("fpnotes.chapters.opening"),
        table,
    )


if __name__ == "__main__":
    main()
