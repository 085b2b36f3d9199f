"""How frequent the classes are where a model will be used, from an unlabelled pool at its natural frequencies.

M. Saerens, P. Latinne and C. Decaestecker. Adjusting the outputs of a classifier to new a priori probabilities. Neural
Computation 14, 2002. https://doi.org/10.1162/089976602753284446
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.classifier import Classifier
from learners.support import Support

STEPS = 100  # of expectation maximisation
PSEUDO = 5.0  # examples a class that the pool is joined by
FEWEST = 50  # pool examples, below which nothing is estimated
LEAST_EVIDENCE, FULL_EVIDENCE = 0.12, 0.27  # nats an example: even pools of few shots show up to the first
NATURAL = 0.2  # unevenness of labels, from which on they are a sample at the frequencies of use themselves
SHOTS = 2.0  # so many shots halve the trust, as a model of few labels takes its own bias for a frequency


def estimate_prior(log_p: Tensor, prior: Tensor) -> tuple[Tensor, float]:
    """Return the class prior of a pool [N], and the evidence for it: mean log-likelihood ratio to ``prior``, in nats.

    pi_c <- (PSEUDO + sum_u q_u(c)) / (N PSEUDO + U), with q_u(c) ~ p_u(c) pi_c / prior_c, until it stands still.

    Args:
        log_p: [U, N] calibrated log-probabilities of the pool.
        prior: [N] the class prior that these probabilities are of, without zeros.
    """
    given = prior.double()
    likelihood, estimate = F.softmax(log_p.double() - given.log(), 1), given  # each example's up to a factor
    for _ in range(STEPS):
        mass = estimate * ((likelihood @ estimate).reciprocal() @ likelihood) + PSEUDO
        estimate = mass / mass.sum()
    gain = (likelihood @ estimate).log() - (likelihood @ given).log()
    return estimate, float(gain.mean())


def prior_shift(log_p: Tensor, prior: Tensor, shots: float) -> Tensor | None:
    """Return what to add to a model's logits [N] where it is used, or None if the pool gives no reason to.

    strength * (log pi - log prior): the strength grows with the evidence, from nothing at what an even pool may show by
    chance, and with the mean number of labelled examples a class, ``shots``. It falls with their ``evenness``: whoever
    labels examples as they come has labels at the frequencies of use, which say more of them than a model of few labels
    that reads the pool.
    """
    if len(log_p) < FEWEST:
        return None
    estimate, evidence = estimate_prior(log_p, prior)
    trust = (evidence - LEAST_EVIDENCE) / (FULL_EVIDENCE - LEAST_EVIDENCE)
    strength = max(0.0, min(1.0, trust)) * shots / (shots + SHOTS) * evenness(prior)
    if strength == 0.0:
        return None
    return (strength * (estimate.log() - prior.double().log())).float()


def evenness(frequencies: Tensor) -> float:
    """Return how even the frequencies [N] of labels are: 1 if all are equal, 0 if they are taken to be those in use.

    1 - (1 - H / log N) / NATURAL, at least 0, with H their entropy.
    """
    if len(frequencies) < 2:
        return 1.0
    entropy = float(torch.special.entr(frequencies.double()).sum())
    return max(0.0, 1 - (1 - entropy / math.log(len(frequencies))) / NATURAL)


def shift_of_pool(classifier: Classifier, support: Support) -> Tensor | None:
    """Return what to add to the logits [N] of a classifier for examples like those of the pool, or None.

    Its probabilities are taken to be under the class prior of the support.
    """
    if support.pool is None or not len(support.pool):
        return None
    present, counts = support.y.unique(return_counts=True)
    with torch.no_grad():
        log_p = F.log_softmax(classifier.logits(support.pool)[:, present] / classifier.temperature, 1)
    shift = prior_shift(log_p, counts.double() / len(support.y), len(support.y) / len(present))
    return None if shift is None else torch.zeros(support.ways).index_copy(0, present, shift)
