"""RL2: a policy whose hidden state learns."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RL2(nn.Module):
    """A recurrent policy and value over a trial, which is several episodes of one environment that is drawn for it.

        h_t = GRU([o_t, a_{t-1}, r_{t-1}, d_{t-1}], h_{t-1}),    pi(a_t | h_t) = softmax(W h_t + b)

    h is 0 where a trial begins, and it is kept from one episode to the next. What an episode has shown of the
    environment is thus known in later ones, which is the fast learning. ``ppo`` learns the weights slowly, to maximise
    what a whole trial pays.

    The reward is read twice, as a number and in the place of its action (a one-hot vector times r). The sum of rewards
    by action is then linear in the input, and it is learned from a fraction of the trials.

    The value is the mean reward of the steps to come, V(h_t) = v h_t + c; see ``ppo.horizon`` for its scale.

    Y. Duan, J. Schulman, X. Chen, P. L. Bartlett, I. Sutskever, P. Abbeel. RL2: fast reinforcement learning via slow
    reinforcement learning. 2016. https://arxiv.org/abs/1611.02779
    J. X. Wang, Z. Kurth-Nelson, D. Tirumala, H. Soyer, J. Z. Leibo, R. Munos, C. Blundell, D. Kumaran, M. Botvinick.
    Learning to reinforcement learn. 2016. https://arxiv.org/abs/1611.05763

    Args:
        observations: discrete states, read as one-hot vectors, or the numbers of an observation.
        actions: choices.
        hidden: numbers in h.
        memory: False: h is 0 at every step, so that only the last step is known, which shows what memory is worth.
    """

    name = "rl2"

    def __init__(self, observations: int, actions: int, hidden: int = 64, memory: bool = True) -> None:
        super().__init__()
        self.observations, self.actions, self.hidden, self.memory = observations, actions, hidden, memory
        self.gru = nn.GRU(observations + 2 * actions + 2, hidden)
        self.policy, self.value = nn.Linear(hidden, actions), nn.Linear(hidden, 1)
        nn.init.orthogonal_(self.gru.get_parameter("weight_hh_l0"))
        nn.init.normal_(self.policy.weight, std=0.01)  # all actions are likely at first
        for module in (self.policy, self.value):
            nn.init.zeros_(module.bias)

    @property
    def config(self) -> dict[str, int | bool]:
        """The arguments that make an equal network, JSON-able."""
        return {
            "observations": self.observations,
            "actions": self.actions,
            "hidden": self.hidden,
            "memory": self.memory,
        }

    def encode(self, observation: np.ndarray, action: Tensor, reward: Tensor, done: Tensor) -> Tensor:
        """Return the input [E, D] of a step.

        Args:
            observation: [E] states or [E, D] numbers; action: [E] taken before, -1 where a trial begins; reward, done:
                [E] what it gave and whether it ended an episode.
        """
        seen = torch.from_numpy(np.ascontiguousarray(observation))
        seen = F.one_hot(seen.long(), self.observations) if seen.ndim == 1 else seen
        before = F.one_hot(action + 1, self.actions + 1)[:, 1:].float()
        return torch.cat([seen.float(), before, before * reward[:, None], reward[:, None], done[:, None]], 1)

    def begin(self, trials: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return h [1, E, H] and the action, reward and done [E] before the first step."""
        nothing = torch.zeros(trials)
        return torch.zeros(1, trials, self.hidden), torch.full((trials,), -1), nothing, nothing

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [T, E, A], values [T, E] and the last h [1, E, H] from inputs [T, E, D] in order."""
        if self.memory:
            out, last = self.gru(x, h)
        else:
            out = self.gru(x.reshape(1, -1, x.shape[-1]))[0].view(*x.shape[:2], self.hidden)
            last = out[-1:]
        return self.policy(out), self.value(out).squeeze(-1), last
