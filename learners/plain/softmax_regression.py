"""Softmax regression for a path of regularisation strengths: scipy's L-BFGS with a diagonal preconditioner."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from learners.representation.sharing import shareable

CHUNK = 8192  # examples whose logits are in memory at once
ITERATIONS = 200
TOLERANCE = 1e-4  # of a step's relative decrease of the loss, where a fit ends
NEGLIGIBLE = 1e-6  # variance along an axis relative to the largest, below which the axis is rounding error


def fit_path(x: Tensor, y: Tensor, ways: int, strengths: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
    """Return weight [N, D] and bias [N] for each strength C, each fit starting from the last one.

    min_{W, b}  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C),

    by L-BFGS on W_cj (E_j / N + 1 / C)^(1/2) with E_j = sum_i x_ij^2. On uncorrelated columns that is Newton's method
    at W = 0, where the Hessian is diag(E / N + 1 / C) up to the mean over classes. Ascending strengths are fastest. Of
    two labels |W|^2 counts twice, so that C means what it does in scikit-learn, which keeps one row for them.

    D. C. Liu, J. Nocedal. On the limited memory BFGS method for large scale optimization. Mathematical Programming 45,
    1989. https://doi.org/10.1007/BF01589116

    Args:
        x: [n, D] features whose columns are best uncorrelated, as ``principal_coordinates`` are.
        y: [n] labels 0..N-1, each of which has an example.
    """
    size, dim = x.shape
    energy = torch.stack([part.square().sum(0) for part in x.split(CHUNK)]).sum(0) / ways
    shares = torch.bincount(y, minlength=ways).to(x.dtype) / size
    solution = torch.cat([x.new_zeros(ways, dim), shares.log()[:, None]], 1)
    found = []
    for strength in strengths:
        decay = (2 if ways == 2 else 1) / strength
        scale = torch.cat([energy + decay, x.new_tensor([size / ways])]).rsqrt()

        def loss(scaled: np.ndarray, scale: Tensor = scale, decay: float = decay) -> tuple[float, np.ndarray]:
            both = torch.from_numpy(scaled).view(ways, dim + 1).to(x.dtype) * scale
            value, gradient = _loss_and_gradient(x, y, both, decay)
            return value / size, (gradient * scale / size).double().flatten().numpy()

        options = {"maxiter": ITERATIONS, "ftol": TOLERANCE, "gtol": 0.0}
        start = (solution / scale).double().flatten().numpy()
        best = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
        solution = torch.from_numpy(best).view(ways, dim + 1).to(x.dtype) * scale
        found.append((solution[:, :-1], solution[:, -1]))
    return found


def _loss_and_gradient(x: Tensor, y: Tensor, both: Tensor, decay: float) -> tuple[float, Tensor]:
    """Return sum_i CE + decay |W|^2 / 2 and its gradient [N, D + 1] at weight and bias side by side [N, D + 1]."""
    weight, bias = both[:, :-1], both[:, -1]
    value, gradient = 0.5 * decay * float(weight.square().sum()), both * decay
    gradient[:, -1] = 0
    for some, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        log_p = F.log_softmax(torch.addmm(bias, some, weight.T), 1)
        value -= float(log_p.gather(1, labels[:, None]).sum())
        error = log_p.exp_().scatter_add_(1, labels[:, None], log_p.new_full((len(labels), 1), -1.0))
        gradient[:, :-1].addmm_(error.T, some)
        gradient[:, -1] += error.sum(0)
    return value, gradient


@shareable
def principal_coordinates(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return coordinates [n, r] of features [n, D] on their principal axes, and the affine map there: [D, r] and [r].

    Features are centred and have one scale for all dimensions, so that unit-length features keep their geometry, and a
    strength means the same in every family. The axes span the examples: r = D, or fewer where examples are fewer.
    """
    mean = x.mean(0)
    if len(x) < x.shape[1]:
        z = x - mean
        values, vectors = torch.linalg.eigh(z @ z.T)
        there = values > NEGLIGIBLE * values[-1]
        basis = z.T @ (vectors[:, there] * values[there].rsqrt())
    else:
        values, basis = torch.linalg.eigh(x.T @ x - len(x) * torch.outer(mean, mean))
    scale = (values.clamp_min(0).sum() / (max(1, len(x) - 1) * x.shape[1])).sqrt() + 1e-12
    to = basis / scale
    shift = -mean @ to
    return torch.addmm(shift, x, to), to, shift
