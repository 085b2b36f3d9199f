"""RL2: fast reinforcement learning in the state of a recurrent network (Duan et al. 2016, arXiv:1611.02779).

What a learning algorithm would keep of a task (which arm paid, where an action led) the hidden state keeps; slow
learning, by PPO over many tasks, finds the weights that make it do so.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

State = Tensor | None


class RL2(nn.Module):
    """A policy over actions whose hidden state lives through the episodes of a trial.

    x_t = [o_t, onehot(a_{t-1}), r_{t-1}, d_{t-1}],  h_t = GRU(x_t, h_{t-1}),  pi = softmax(W h_t),  V = v h_t.

    Args:
        observation: length of an observation as a vector.
        actions: how many there are.
        hidden: length of h.
        memory: without it h_{t-1} is 0 at every step: the same network that cannot learn inside a trial.
    """

    def __init__(self, observation: int, actions: int, hidden: int = 64, memory: bool = True) -> None:
        super().__init__()
        self.observation, self.actions, self.memory = observation, actions, memory
        self.sizes = {"observation": observation, "actions": actions, "hidden": hidden, "memory": memory}
        self.recurrent = nn.GRU(observation + actions + 2, hidden)
        self.policy, self.value = nn.Linear(hidden, actions), nn.Linear(hidden, 1)
        nn.init.orthogonal_(self.recurrent.get_parameter("weight_hh_l0"))
        for head in (self.policy, self.value):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def seen(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor) -> Tensor:
        """Return x [B, observation + actions + 2].

        Args:
            observation: vectors [B, O], or numbers [B] that become one-hot.
            action, reward, done: of the step before [B]; action -1 where there was none.
        """
        if observation.ndim == 1:
            observation = F.one_hot(observation, self.observation)
        taken = F.one_hot(action + 1, self.actions + 1)[:, 1:]
        return torch.cat([observation.float(), taken.float(), reward[:, None], done[:, None].float()], 1)

    def forward(self, x: Tensor, h: State = None) -> tuple[Tensor, Tensor, State]:
        """Return logits [T, B, A], values [T, B] and the state after the last step, from x [T, B, I]."""
        if self.memory:
            out, h = self.recurrent(x, h)
        else:
            out, h = self.recurrent(x.flatten(0, 1)[None])[0].view(*x.shape[:2], -1), None
        return self.policy(out), self.value(out)[..., 0], h

    def save(self, folder: Path) -> None:
        """Write ``policy.safetensors`` and ``policy.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), folder / "policy.safetensors")
        (folder / "policy.json").write_text(json.dumps(self.sizes), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "RL2":
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: it is damaged.
        """
        try:
            made = cls(**json.loads((folder / "policy.json").read_text("utf-8")))
            made.load_state_dict(load_file(folder / "policy.safetensors"))
        except (OSError, TypeError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no whole policy: {error}") from error
        return made
