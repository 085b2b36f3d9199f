"""MetaOptNet-SVM: a support vector machine as the head, differentiated through its solution."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from learners.base import ABSENT, one_hot
from learners.bodies import Body
from learners.capabilities import Capabilities
from learners.heads.linear_head import LinearHead

ROOM = 30_000_000  # numbers, N S^2, that a Newton step may hold


class SVMHead(LinearHead):
    """Meta-learns an embedding f in which a multi-class support vector machine separates the classes.

    min_{f, s}  sum_episodes L_query(s W f(x)),
    W = argmin |W|^2 / 2 + C sum_n max_k (w_k x_n - w_{y_n} x_n + 1[k != y_n]),  x_n = f of a support example

    solved in the dual and differentiated through its solution, see ``Dual``. On raw examples f is the body, and
    C = 0.1 as published. On features f(x) = M u / sqrt(D), where u are the standardised features and M starts as the
    identity, and C = 1; then all of it is one affine map.

    K. Lee, S. Maji, A. Ravichandran, S. Soatto. Meta-learning with differentiable convex optimization. CVPR 2019.
    https://arxiv.org/abs/1904.03758
    K. Crammer, Y. Singer. On the algorithmic implementation of multiclass kernel-based vector machines. JMLR 2, 2001.
    https://www.jmlr.org/papers/v2/crammer01a.html

    Args:
        c: C, which is fixed, because the size of f has the same effect; None: as above.
        steps: Newton steps of the solver; 16 give W x to 1e-3 or better up to C |x|^2 = 1e5, beyond that take more.
    """

    name = "svm"
    capabilities = Capabilities(most_products=ROOM)

    def __init__(self, body: int | Body, ways: int | None = None, c: float | None = None, steps: int = 16) -> None:
        super().__init__(body, ways)
        self.c, self.steps = (0.1 if self.raw else 1.0) if c is None else c, steps
        self.log_scale = nn.Parameter(torch.tensor(0.0 if self.raw else math.log(5.0)))

    def head(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return s W [N, D] and the bias [N] from embeddings [S, D]: 0, or far lower for an absent shared label.

        Raises:
            ValueError: N S^2 is larger than there is room for.
        """
        if ways * len(support) ** 2 > ROOM:
            raise ValueError(
                f"{ways} classes and {len(support)} support examples make N S^2 = {ways * len(support) ** 2:,}, "
                f"the solver has room for {ROOM:,}; take fewer examples, or ridge"
            )
        label, scale = one_hot(y, ways, support.dtype), self.log_scale.exp()
        alpha, _ = Dual.apply(support @ support.T, label, self.c, self.steps)
        return scale * alpha.T @ support, torch.where(label.any(0), 0.0, ABSENT - scale)


class Dual(torch.autograd.Function):
    """The dual solution alpha [S, N] of a Crammer-Singer machine, W = alpha^T X, from the Gram matrix X X^T [S, S].

    min_alpha  tr(alpha^T G alpha) / 2 - tr(alpha^T Y)   with  alpha <= C Y,  sum_k alpha_nk = 0.

    With beta = C Y - alpha >= 0 and multipliers z, a step of the primal-dual interior point method (Mehrotra 1992,
    https://doi.org/10.1137/0802028, which is the paper's solver too) needs only one system (G + diag(z_k / beta_k)) of
    size S for each class and one for all. The number of Newton steps hardly grows with the condition of G or the
    sizes; each takes N S^3 operations, in float64. Classes without an example take no part. Backward is one more such
    system at the solution (the implicit function theorem): d alpha = -H dG alpha, where H is the inverse on the
    coordinates that no bound holds. The second result is what backward needs.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(gram: Tensor, label: Tensor, c: float, steps: int) -> tuple[Tensor, Tensor]:
        g, y = regularise(gram), label.double()
        seen = y.amax(0)
        linear, count = c * (g @ y) - y, len(y) * seen.sum()
        # alpha of the size 1 / |x|^2 that it has where C holds nothing back
        small = (1 / g.diagonal().mean()).clamp_max(c) / seen.sum()
        beta = torch.where(seen > 0, small + (c - small * seen.sum()) * y, 1.0)
        slope = g @ beta - linear
        nu = torch.where(seen > 0, slope, torch.inf).amin(1, keepdim=True) - 1  # multiplier of the sums
        z = (slope - nu) * seen
        for _ in range(steps):
            gap = (beta * z).sum() / count
            inverse = invert_by_class(g, z / beta, seen)
            residual = g @ beta - linear - nu
            by_beta, _ = solve_newton(inverse, -residual)  # straight to complementarity 0
            by_z = -z - z / beta * by_beta
            ahead = ((beta + longest_step(beta, by_beta) * by_beta) * (z + longest_step(z, by_z) * by_z)).sum() / count
            aim = ((ahead / gap) ** 3 * gap - by_beta * by_z) * seen
            by_beta, by_nu = solve_newton(inverse, aim / beta - residual)
            by_z = aim / beta - z - z / beta * by_beta
            size = 0.99 * torch.minimum(longest_step(beta, by_beta), longest_step(z, by_z))
            size = torch.where(gap > 1e-17 * c, size, 0.0)  # solved: further steps would only meet rounding
            beta, nu, z = beta + size * by_beta, nu + size * by_nu, z + size * by_z
        return (c * y - beta * seen).to(gram.dtype), z / beta

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], inputs[1], *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gram, label, alpha, ratio = ctx.saved_tensors
        moved, _ = solve_newton(invert_by_class(regularise(gram), ratio, label.amax(0).double()), gradients[0].double())
        return -(moved.to(gram.dtype) @ alpha.T), None, None, None


def regularise(gram: Tensor) -> Tensor:
    """Return G + 1e-8 mean(diag G) I in float64: invertible, though examples may repeat or outnumber dimensions."""
    g = gram.double()
    return g + (1e-8 * g.diagonal().mean() + 1e-30) * torch.eye(len(g), dtype=g.dtype, device=g.device)


def invert_by_class(gram: Tensor, ratio: Tensor, seen: Tensor) -> Tensor:
    """Return (G + diag(ratio_k))^-1 for every class [N, S, S]; 0 of a class without an example."""
    return torch.linalg.inv_ex(gram + torch.diag_embed(ratio.T))[0] * seen[:, None, None]


def solve_newton(inverse: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return v [S, N] and u [S, 1] with (G + diag(ratio_k)) v_k - u = right_k and sum_k v_k = 0."""
    free = torch.einsum("kst,tk->sk", inverse, right)
    u = -torch.linalg.solve_ex(inverse.sum(0), free.sum(1, keepdim=True))[0]
    return free + torch.einsum("kst,t->sk", inverse, u[:, 0]), u


def longest_step(at: Tensor, step: Tensor) -> Tensor:
    """Return the largest share [] of a step, at most 1, that leaves everything at least 0."""
    return torch.where(step < 0, at / step.clamp_max(-1e-300).neg(), torch.inf).amin().clamp_max(1.0)
