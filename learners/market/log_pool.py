"""Experts pooled by weight, and moved towards a support as far as past episodes say that it pays."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, one_hot
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.support import Support

NEWTON = 4  # steps to the optimum of a convex problem with a handful of unknowns
STRENGTH = 1.0  # prior precision at the start, in mean losses
SLOWEST = 2.0  # half-life of an example's weight at the start, in lengths of the support


class LogPool(Learner):
    """p(y | x) ~ exp( sum_e w_e log p_e(y | x) + sum_j c_j B_jy ), the logarithmic opinion pool of E experts.

    Features are the experts' log-probabilities, [E * N] an example. B are polynomials over the labels: level, spread,
    and so on. Adaptation is maximum a posteriori, in closed form up to Newton steps, for theta = (w, c):

        theta*(S) = argmin_theta  sum_i r_i CE_i(theta) + 1/2 sum_j lambda_j (theta_j - theta0_j)^2

    with c0 = 0 and r_i ~ 2^(-age_i / h). Meta-learned is where to start and how far to move: the weights w0, the
    precisions lambda (of all weights, and of every polynomial), and the half-life h. The gradient through theta* is
    exact: one Newton step from the optimum, by the implicit function theorem. Where past support sets said nothing
    about what followed, lambda grows until nothing moves.

    The examples of a support set are in order of time, oldest first.

    C. Genest, J. V. Zidek. Combining probability distributions: a critique and an annotated bibliography. Statistical
    Science 1, 1986. https://doi.org/10.1214/ss/1177013825
    E. Grant, C. Finn, S. Levine, T. Darrell, T. Griffiths. Recasting gradient-based meta-learning as hierarchical
    Bayes. ICLR 2018. https://arxiv.org/abs/1801.08930
    A. Rajeswaran, C. Finn, S. Kakade, S. Levine. Meta-learning with implicit gradients. NeurIPS 2019.
    https://arxiv.org/abs/1909.04630
    """

    name = "log_pool"
    capabilities = Capabilities(examples="features", fixed_ways=True)

    def __init__(self, dim: int, ways: int) -> None:
        super().__init__(dim, ways)
        if dim % ways:
            raise ValueError(f"{dim} log-probabilities are not those of experts with {ways} labels each")
        self.experts, self.labels = dim // ways, ways
        self.weights = nn.Parameter(torch.full((self.experts,), 1 / self.experts))
        self.log_precision = nn.Parameter(torch.full((ways,), STRENGTH).log())  # of the weights, then of B's rows
        self.log_half_life = nn.Parameter(torch.tensor(SLOWEST).log())
        self.register_buffer("basis", polynomials(ways))
        self.basis: Tensor

    @property
    def start(self) -> Tensor:
        """theta0 [E + N - 1]."""
        return torch.cat([self.weights, self.weights.new_zeros(self.labels - 1)])

    @property
    def precision(self) -> Tensor:
        """lambda [E + N - 1]."""
        own = self.log_precision.exp()
        return torch.cat([own[:1].expand(self.experts), own[1:]])

    def design(self, x: Tensor) -> Tensor:
        """Return z [n, N, E + N - 1] of log-probabilities [n, E * N], so that logits are z theta."""
        logs = x.reshape(len(x), self.experts, self.labels).transpose(1, 2)
        return torch.cat([logs, self.basis.T.to(x.dtype).expand(len(x), -1, -1)], 2)

    def solve(self, x: Tensor, y: Tensor) -> Tensor:
        """Return theta* [E + N - 1] of a support."""
        z, start, precision = self.design(x), self.start, self.precision
        age = torch.arange(len(x) - 1, -1, -1, device=x.device, dtype=x.dtype) / len(x)
        recency = torch.exp2(-age / self.log_half_life.exp())
        recency = recency / recency.sum()
        truth = one_hot(y, self.labels, x.dtype)

        def newton(theta: Tensor, z: Tensor, start: Tensor, precision: Tensor, recency: Tensor) -> Tensor:
            p = torch.softmax(z @ theta, 1)
            mean = torch.einsum("nk,nkp->np", p, z)
            gradient = recency @ (mean - torch.einsum("nk,nkp->np", truth, z)) + precision * (theta - start)
            curvature = torch.einsum("n,nk,nkp,nkq->pq", recency, p, z, z)
            curvature = curvature - torch.einsum("n,np,nq->pq", recency, mean, mean) + torch.diag(precision)
            return theta - torch.linalg.solve(curvature, gradient)

        fixed = [value.detach() for value in (start, precision, recency)]
        theta = fixed[0]
        for _ in range(NEWTON):
            theta = newton(theta, z.detach(), *fixed)
        return newton(theta.detach(), z, start, precision, recency)

    def meta_loss(self, episode: Episode) -> Tensor:
        theta = self.solve(episode.support_x, episode.support_y)
        return F.cross_entropy(self.design(episode.query_x) @ theta, episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        """Return a classifier of the experts' log-probabilities; see ``Learner.adapt``. The pool is not used."""
        self.check(support)
        return self.to_classifier(self.solve(support.x, support.y))

    def to_classifier(self, theta: Tensor) -> Classifier:
        """Return the classifier of theta [E + N - 1]; of ``start``: the pool that is not adapted."""
        one = torch.eye(self.labels, dtype=theta.dtype, device=theta.device)
        weight = torch.kron(theta[: self.experts][None], one)
        return Classifier((Affine(weight.detach(), (theta[self.experts :] @ self.basis.to(theta.dtype)).detach()),))


def polynomials(ways: int) -> Tensor:
    """Return orthonormal polynomials of degree 1 to N - 1 over labels 0..N-1 [N - 1, N]; each sums to 0."""
    powers = torch.arange(ways, dtype=torch.float64)[:, None] ** torch.arange(ways, dtype=torch.float64)
    q, r = torch.linalg.qr(powers)
    return (q * torch.sign(torch.diagonal(r))).T[1:].float()
