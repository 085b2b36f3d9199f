"""Bodies: networks from examples to vectors, without a head."""

from learners.bodies.body import Body, Features
from learners.bodies.conv4 import Conv4
from learners.bodies.mlp import MLP

__all__ = ["MLP", "Body", "Conv4", "Features"]
