"""Proximal policy optimisation over whole trials, with generalised advantage estimation.

J. Schulman, F. Wolski, P. Dhariwal, A. Radford, O. Klimov. Proximal policy optimization algorithms. 2017.
https://arxiv.org/abs/1707.06347
J. Schulman, P. Moritz, S. Levine, M. I. Jordan, P. Abbeel. High-dimensional continuous control using generalized
advantage estimation. ICLR 2016. https://arxiv.org/abs/1506.02438
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.decisions.rl2 import RL2


@dataclass(frozen=True)
class Rollout:
    """What a policy did in E trials of T steps.

    Attributes:
        inputs: [T, E, D] what the policy read; actions: [T, E]; rewards: [T, E]; credits: [T, E] what is learned from.
        log_p: [T, E] log-probability of the actions as they were chosen.
        values: [T, E] the policy's estimate of the mean reward to come.
        taught: [T, E] what a teacher would have done; -1: there was none.
    """

    inputs: Tensor
    actions: Tensor
    rewards: Tensor
    credits: Tensor
    log_p: Tensor
    values: Tensor
    taught: Tensor

    def part(self, trials: Tensor) -> "Rollout":
        """Return some of the trials."""
        return Rollout(*(tensor[:, trials] for tensor in vars(self).values()))


def horizon(steps: int, discount: float) -> Tensor:
    """Return w_t = 1 + g + ... + g^(T-t-1) [T], the worth of a reward of 1 a step from step t to the trial's end."""
    return (discount ** torch.arange(steps)).cumsum(0).flip(0)


def gae(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Return the generalised advantages [T, E] within a trial.

        A_t = sum_l (g lambda)^l delta_{t+l},    delta_t = r_t + g V_{t+1} - V_t,    V_T = 0

    An episode that ends inside the trial does not cut the sum, because what it taught pays in later episodes.

    Args:
        rewards, values: [T, E], values in units of reward.
    """
    after = torch.cat([values[1:], torch.zeros_like(values[:1])])
    delta = rewards + discount * after - values
    advantages, running = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + discount * trace * running
        advantages[t] = running
    return advantages


def ppo_loss(
    policy: RL2, rollout: Rollout, advantages: Tensor, returns: Tensor, clip: float, entropy: float, critic: float
) -> Tensor:
    """Return the loss [] of trials, replayed with the hidden state from their start.

    With rho_t = pi(a_t | h_t) / pi_old(a_t | h_t), the mean over steps of

        -min(rho A, clip(rho, 1 - c, 1 + c) A) + critic (V - R)^2 - entropy H(pi)

    Args:
        advantages: [T, E] of mean 0 and deviation 1; returns: [T, E] in units of the value, reward a step.
    """
    logits, values, _ = policy(rollout.inputs)
    log_pi = logits.log_softmax(-1)
    log_p = log_pi.gather(-1, rollout.actions[..., None]).squeeze(-1)
    rho = (log_p - rollout.log_p).exp()
    gain = torch.minimum(rho * advantages, rho.clamp(1 - clip, 1 + clip) * advantages)
    spread = -(log_pi.exp() * log_pi).sum(-1)
    return (critic * (values - returns).square() - gain - entropy * spread).mean()


def imitation_loss(policy: RL2, rollout: Rollout, returns: Tensor, critic: float) -> Tensor:
    """Return -log pi(a* | h_t) + critic (V - R)^2 [], mean over the steps of trials, with a* as the teacher has it.

    S. Ross, G. J. Gordon, J. A. Bagnell. A reduction of imitation learning and structured prediction to no-regret
    online learning. AISTATS 2011. https://arxiv.org/abs/1011.0686
    """
    logits, values, _ = policy(rollout.inputs)
    missed = F.cross_entropy(logits.flatten(0, 1), rollout.taught.flatten())
    return missed + critic * (values - returns).square().mean()
