"""What a policy keeps of a trial: a hidden state, all steps to attend to, or a state of its own for every action."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: What a memory keeps, its parts by number of the trial [*, E, ...]; none where a trial begins.
State = tuple[Tensor, ...]
ROOM = 64  # steps that a cache has room for at first


class Recurrence(nn.Module):
    """A hidden state h_t = GRU(x_t, h_{t-1}), h = 0 where a trial begins.

    K. Cho, B. van Merriënboer, C. Gulcehre, D. Bahdanau, F. Bougares, H. Schwenk, Y. Bengio. Learning phrase
    representations using RNN encoder-decoder for statistical machine translation. EMNLP 2014.
    https://arxiv.org/abs/1406.1078

    Args:
        kept: False: h is 0 at every step, so that only the last step is known.
    """

    def __init__(self, inputs: int, hidden: int, kept: bool = True) -> None:
        super().__init__()
        self.kept, self.hidden = kept, hidden
        self.gru = nn.GRU(inputs, hidden)
        nn.init.orthogonal_(self.gru.get_parameter("weight_hh_l0"))

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Return h_t [T, E, H] and the last of them, from inputs [T, E, D] in order."""
        if self.kept:
            out, last = self.gru(x, *state)
            return out, (last,)
        return self.gru(x.reshape(1, -1, x.shape[-1]))[0].view(*x.shape[:2], self.hidden), ()


class Attention(nn.Module):
    """A causal transformer over the steps of a trial, pre-normalised, without a code for their places.

    In play the keys and values of earlier steps are kept, so that a step costs what it adds.

    A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser, I. Polosukhin. Attention is all
    you need. NeurIPS 2017. https://arxiv.org/abs/1706.03762
    L. C. Melo. Transformers are meta-reinforcement learners. ICML 2022. https://arxiv.org/abs/2206.06614

    Args:
        hidden: width, of ``heads`` heads in each of ``layers`` layers.
    """

    def __init__(self, inputs: int, hidden: int, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.start = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads, 2 * layers) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Return [T, E, H] from inputs [T, E, D]; the state: keys and values of a layer [E, heads, room, H / heads],
        and how many steps they hold."""
        h, after = self.start(x.transpose(0, 1)), []
        seen = int(state[-1]) if state else 0
        for i, block in enumerate(self.blocks):
            h, *kept = block(h, state[2 * i : 2 * i + 2], seen)
            after += kept
        return self.norm(h).transpose(0, 1), (*after, torch.tensor(seen + len(x)))


class Block(nn.Module):
    """A layer of ``Attention``: heads over the steps so far, then a network of its own for every step.

    Args:
        branches: of all layers, whose sum has the variance of one at first.
    """

    def __init__(self, hidden: int, heads: int, branches: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.split = nn.LayerNorm(hidden), nn.Linear(hidden, 3 * hidden)
        self.joined = nn.Linear(hidden, hidden)
        last = nn.Linear(4 * hidden, hidden)
        self.wide = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 4 * hidden), nn.GELU(), last)
        for end in (self.joined, last):
            nn.init.normal_(end.weight, std=0.5 / math.sqrt(branches * end.in_features))
            nn.init.zeros_(end.bias)

    def forward(self, h: Tensor, state: State, seen: int) -> tuple[Tensor, Tensor, Tensor]:
        trials, steps, hidden = h.shape
        q, k, v = self.split(self.norm(h)).view(trials, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if torch.is_grad_enabled() and not seen:
            keys, values = k, v
        else:
            keys, values = (kept_with(new, old, seen) for new, old in zip((k, v), state or (None, None), strict=True))
        upto = seen + steps
        mixed = F.scaled_dot_product_attention(q, keys[:, :, :upto], values[:, :, :upto], is_causal=steps > 1)
        h = h + self.joined(mixed.transpose(1, 2).reshape(trials, steps, hidden))
        return h + self.wide(h), keys, values


def kept_with(new: Tensor, old: Tensor | None, seen: int) -> Tensor:
    """Return a cache [E, heads, room, d] that holds new entries after those seen, in place where there is room."""
    end = seen + new.shape[2]
    if old is None or end > old.shape[2]:
        room = new.new_zeros(*new.shape[:2], end + max(ROOM, end // 2), new.shape[3])
        if old is not None:
            room[:, :, :seen] = old[:, :, :seen]
        old = room
    old[:, :, seen:end] = new
    return old


class Slots(nn.Module):
    """A hidden state for every action, h_a <- GRU(x_t, h_a) for the action taken before, by weights that all share.

    What is learned of one action thus holds for all, whatever their number and their order. A policy reads h_a, what
    all of them hold on average and at most, and the step's input without names of actions.

    M. Zaheer, S. Kottur, S. Ravanbakhsh, B. Póczos, R. Salakhutdinov, A. Smola. Deep sets. NeurIPS 2017.
    https://arxiv.org/abs/1703.06114

    Args:
        inputs: numbers of a step that name no action.
        hidden: numbers in h_a.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.gru = nn.GRUCell(inputs, hidden)
        nn.init.orthogonal_(self.gru.weight_hh)
        self.own = nn.Linear(hidden, 2 * hidden)
        self.shared = nn.Linear(2 * hidden + inputs, 2 * hidden)
        self.mixed = nn.Sequential(nn.GELU(), nn.Linear(2 * hidden, hidden), nn.GELU())

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Return [T, E, A, H] from inputs [T, E, D + A], whose last A are the action taken before, one-hot."""
        seen, taken = x[..., : self.inputs], x[..., self.inputs :] > 0
        steps, trials, actions = taken.shape
        h = state[0] if state else x.new_zeros(trials, actions, self.hidden)
        at, every, kept = taken.float().argmax(-1), torch.arange(trials, device=x.device), []
        for t in range(steps):
            new = self.gru(seen[t], h[every, at[t]])
            h = torch.where(taken[t, :, :, None], new[:, None], h)
            kept.append(h)
        slots = torch.stack(kept)
        shared = self.shared(torch.cat([slots.mean(2), slots.amax(2), seen], -1))
        return self.mixed(self.own(slots) + shared[:, :, None]), (h,)
