"""The optimisers take torch's steps to the last digit, and import nothing that only compilers need."""

import subprocess
import sys

import pytest
import torch

from learners import optimisers

TRAIN = """
import sys, torch
from learners.bodies import MLP
from learners.optimisers import Adam, AdamW, LBFGS, SGD

for kind in (Adam, AdamW, SGD, LBFGS):
    body = MLP(3, [4])
    optimiser = kind(body.parameters(), lr=0.1)
    def loss():
        optimiser.zero_grad()
        value = body(torch.ones(2, 3)).square().sum()
        value.backward()
        return value
    optimiser.step(loss)
    optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler():
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "LBFGS"])
def test_steps_are_those_of_torch(name):
    found = []
    for kind in (getattr(optimisers, name), getattr(torch.optim, name)):
        weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
        optimiser = kind([{"params": [weight], "lr": 0.05}], lr=0.1)

        def loss(weight=weight, optimiser=optimiser):
            optimiser.zero_grad()
            value = weight.square().sum() + weight.exp().mean()
            value.backward()
            return value

        for _ in range(5):
            optimiser.step(loss)
        found.append(weight.detach())
        assert weight.requires_grad
    assert torch.equal(*found)
