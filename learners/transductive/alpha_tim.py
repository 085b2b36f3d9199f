"""alpha-TIM: as much information about the pool's labels as it will bear, at any class frequencies."""

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import one_hot
from learners.classifier import Classifier
from learners.optimisers import Adam
from learners.transductive.centres import CentreLearner, mean_of, minus_distances, nearest

SHARPNESS, STEPS, RATE = 7.5, 1000, 1e-4  # half of the published temperature 15, as it multiplies |z - w|^2 / 2
ALPHA_OF_ONE, ALPHA_OF_MORE, MORE = 2.0, 7.0, 5  # tuned by the authors: with one example a class, and with five


class AlphaTIM(CentreLearner):
    """Centres w [N, D] that minimise, from the class means on,

        CE(support) - H(mean over the pool of p) + mean over the pool of H(p),    p = softmax(-15 |z - w|^2 / 2),

    with Tsallis' entropy H(p) = (1 - sum_k p_k^alpha) / (alpha - 1), which asks for even classes less than Shannon's
    does. Features have unit length. As published, there are 1,000 steps of Adam, and alpha is 2 with one example a
    class, 7 with five; between these it is interpolated here.

    O. Veilleux, M. Boudiaf, P. Piantanida, I. Ben Ayed. Realistic evaluation of transductive few-shot learning.
    NeurIPS 2021. https://arxiv.org/abs/2204.11181
    """

    name = "alpha-tim"

    def solve(self, x: Tensor, y: Tensor, pool: Tensor) -> Classifier:
        x, pool = F.normalize(x, dim=-1), F.normalize(pool, dim=-1)
        labels = one_hot(y, int(y.max()) + 1, x.dtype)
        centres = mean_of(labels, x)
        if not len(pool):
            return nearest(("normalise",), centres, SHARPNESS)
        shots = min(max(len(y) / labels.shape[1], 1), MORE)
        alpha = ALPHA_OF_ONE + (ALPHA_OF_MORE - ALPHA_OF_ONE) * (shots - 1) / (MORE - 1)

        def entropy(p: Tensor) -> Tensor:
            return (1 - p.clamp_min(1e-12).pow(alpha).sum(-1)) / (alpha - 1)

        with torch.enable_grad():
            centres = centres.clone().requires_grad_()
            optimiser = Adam([centres], RATE)
            for _ in range(STEPS):
                p = F.softmax(SHARPNESS * minus_distances(pool, centres), dim=1)
                loss = F.cross_entropy(SHARPNESS * minus_distances(x, centres), y)
                loss = loss - entropy(p.mean(0)) + entropy(p).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return nearest(("normalise",), centres.detach(), SHARPNESS)
