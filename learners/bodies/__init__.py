"""Bodies: networks from examples to vectors, without a head."""

from learners.bodies.body import Body, Features
from learners.bodies.conv4 import Conv4
from learners.bodies.encoder import TransformerBody
from learners.bodies.mlp import MLP
from learners.bodies.resnet12 import ResNet12

__all__ = ["MLP", "Body", "Conv4", "Features", "ResNet12", "TransformerBody"]
