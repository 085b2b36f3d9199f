"""RL2: a policy whose memory of a trial learns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.decisions.memory import Attention, Recurrence, Slots, State

Memory = Literal["gru", "attention", "slots", "none"]
PLACES = 16  # of an episode that are told apart; later ones by their logarithm
LOG = 5.0  # logarithms of steps are divided by it


@dataclass(frozen=True)
class Before:
    """What a policy is told beside an observation: the step before, and where in the trial it is.

    Attributes:
        observation: [E, O] seen there, one-hot where it is a state; action: [E] taken, -1 where a trial begins.
        reward, done: [E] what it gave, and whether it ended an episode.
        place: [E] steps of the episode so far; step: of the trial; steps: of the whole trial.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    done: Tensor
    place: Tensor
    step: int
    steps: int


class RL2(nn.Module):
    """A policy and value over a trial, which is several episodes of one environment that is drawn for it.

        m_t = memory([o_t, a_{t-1}, r_{t-1}, d_{t-1}], m_{t-1}),    pi(a_t | m_t) = softmax(W m_t + b)

    m is empty where a trial begins, and it is kept from one episode to the next. What an episode has shown of the
    environment is thus known in later ones, which is the fast learning. ``ppo`` learns the weights slowly, to maximise
    what a whole trial pays.

    The reward is read as a number and in the place of what it was paid for: of the action by ``gru``, of observation
    and action by ``attention``, of the action's own state by ``slots``. Sums of rewards are then linear in the input,
    and they are learned from a fraction of the trials.

    The value is the mean reward of the steps to come, V(m_t) = v m_t + c; see ``ppo.horizon`` for its scale.

    Y. Duan, J. Schulman, X. Chen, P. L. Bartlett, I. Sutskever, P. Abbeel. RL2: fast reinforcement learning via slow
    reinforcement learning. 2016. https://arxiv.org/abs/1611.02779
    J. X. Wang, Z. Kurth-Nelson, D. Tirumala, H. Soyer, J. Z. Leibo, R. Munos, C. Blundell, D. Kumaran, M. Botvinick.
    Learning to reinforcement learn. 2016. https://arxiv.org/abs/1611.05763

    Args:
        observations: discrete states, read as one-hot vectors, or the numbers of an observation.
        actions: choices.
        hidden: numbers in the memory's output.
        memory: ``gru``, a hidden state; ``attention``, over all steps of the trial; ``slots``, a hidden state for every
            action, where actions are alike; ``none``, the last step only, which shows what memory is worth.
    """

    name = "rl2"

    def __init__(self, observations: int, actions: int, hidden: int = 64, memory: Memory = "gru") -> None:
        super().__init__()
        self.observations, self.actions, self.hidden, self.memory = observations, actions, hidden, memory
        self.core: Recurrence | Attention | Slots
        told = 2 * observations + 2 + PLACES + 3
        if memory == "attention":
            self.inputs = told + actions + 2 * observations * actions
            self.core = Attention(self.inputs, hidden)
        elif memory == "slots":
            self.inputs = told + actions
            self.core = Slots(told, hidden)
        else:
            self.inputs = observations + 2 * actions + 2
            self.core = Recurrence(self.inputs, hidden, memory == "gru")
        self.policy = nn.Linear(hidden, 1 if memory == "slots" else actions)
        self.value = nn.Linear(hidden, 1)
        nn.init.normal_(self.policy.weight, std=0.01)  # all actions are likely at first
        for module in (self.policy, self.value):
            nn.init.zeros_(module.bias)

    @property
    def config(self) -> dict[str, int | str]:
        """The arguments that make an equal network, JSON-able."""
        return {
            "observations": self.observations,
            "actions": self.actions,
            "hidden": self.hidden,
            "memory": self.memory,
        }

    def begin(self, trials: int, steps: int) -> tuple[State, Before]:
        """Return the empty memory, and what comes before the first of so many steps."""
        nothing = torch.zeros(trials, device=self.value.weight.device)
        none, seen = nothing.long() - 1, nothing[:, None].expand(-1, self.observations)
        return (), Before(seen, none, nothing, nothing, nothing.long(), 0, steps)

    def see(self, observation: np.ndarray) -> Tensor:
        """Return observations [E] (states) or [E, O] (numbers) as numbers [E, O]."""
        seen = torch.from_numpy(np.ascontiguousarray(observation)).to(self.value.weight.device)
        return (F.one_hot(seen.long(), self.observations) if seen.ndim == 1 else seen).float()

    def encode(self, observation: np.ndarray, before: Before) -> Tensor:
        """Return the input [E, D] of a step that observes states [E] or numbers [E, O]."""
        seen, reward, done = self.see(observation), before.reward[:, None], before.done[:, None]
        taken = F.one_hot(before.action + 1, self.actions + 1)[:, 1:].float()
        if self.memory in ("gru", "none"):
            return torch.cat([seen, taken, taken * reward, reward, done], 1)
        counts = before.step, before.steps - before.step
        spans = torch.stack([before.place.float(), *(torch.full_like(before.reward, n) for n in counts)], 1)
        place = F.one_hot(before.place.clamp(max=PLACES - 1), PLACES)
        told = [seen, before.observation, reward, done, place, spans.log1p() / LOG]
        if self.memory == "slots":
            return torch.cat([*told, taken], 1)
        pair = (before.observation[:, :, None] * taken[:, None]).flatten(1)
        return torch.cat([*told, taken, pair, pair * reward], 1)

    def after(
        self, before: Before, observation: np.ndarray, action: Tensor, reward: np.ndarray, done: np.ndarray
    ) -> Before:
        """Return what comes before the next step, from what was observed [E, ...], done [E] and given [E] in this."""
        device = self.value.weight.device
        ended = torch.as_tensor(done, dtype=torch.float32, device=device)
        paid = torch.as_tensor(reward, dtype=torch.float32, device=device)
        place = (before.place + 1) * (1 - ended.long())
        return Before(self.see(observation), action.to(device), paid, ended, place, before.step + 1, before.steps)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, Tensor, State]:
        """Return logits [T, E, A], values [T, E] and the memory from inputs [T, E, D] in order."""
        out, state = self.core(x, state)
        if self.memory == "slots":
            return self.policy(out).squeeze(-1), self.value(out.mean(2)).squeeze(-1), state
        return self.policy(out), self.value(out).squeeze(-1), state
