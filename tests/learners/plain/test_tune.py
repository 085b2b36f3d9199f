"""Fine-tuning an encoder starts at nearest prototype, learns the support, and moves what asks for a gradient."""

import pytest
import torch

from learners.bodies import TransformerBody
from learners.bodies.efficientnet import EfficientNet
from learners.classifier import FixedPart
from learners.plain.prototype import NearestPrototype
from learners.plain.tune import Tune, trim_padding
from learners.support import Support

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TINY |= {"vocab_size": 30, "max_position_embeddings": 12}


def texts(y, seed=0):
    """Texts [n, 2, 12] of 4 to 8 words, of which a class has its own."""
    draw = torch.Generator().manual_seed(seed)
    ids = 1 + 6 * y[:, None] + torch.randint(8, (len(y), 12), generator=draw)
    mask = (torch.arange(12) < torch.randint(4, 9, (len(y), 1), generator=draw)).long()
    return torch.stack([ids * mask, mask], 1)


def body(adapters=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TransformerBody("bert", TINY, adapters=adapters, rank=2)


Y = torch.arange(3).repeat_interleave(5)


@pytest.mark.parametrize("adapters", [None, "lora"])
def test_the_support_is_learned_and_the_body_it_came_from_stays(adapters):
    encoder, x = body(adapters), texts(Y)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    classifier = Tune(encoder, epochs=20, rate=3e-3).adapt(Support(x, Y))
    assert (classifier.predict_proba(x).argmax(1) == Y).all()
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    network = classifier.layers[0]
    assert isinstance(network, FixedPart)
    moved = {name for name, value in network.weights.items() if name in before and not torch.equal(value, before[name])}
    trained = {name for name, value in encoder.named_parameters() if value.requires_grad}
    assert moved
    assert moved <= trained
    assert all("lora" in name for name in moved) == (adapters == "lora")


def test_without_a_step_it_is_nearest_prototype():
    encoder, x, queries = body(), texts(Y), texts(Y, seed=1)
    tuned = Tune(encoder, rate=0.0, head_rate=0.0).adapt(Support(x, Y)).predict_proba(queries)
    with torch.no_grad():
        plain = NearestPrototype(16).adapt(Support(encoder(x), Y)).predict_proba(encoder(queries))
    assert torch.allclose(tuned, plain, atol=1e-5)


def test_twice_is_the_same():
    x = texts(Y)
    one, other = (Tune(body()).adapt(Support(x, Y)).predict_proba(x) for _ in range(2))
    assert torch.equal(one, other)


def test_padding_that_no_text_reaches_is_cut_and_changes_nothing():
    encoder, x = body(), texts(Y)
    assert trim_padding(x).shape[2] == int(x[:, 1].sum(1).max()) < 12
    with torch.no_grad():
        assert torch.allclose(encoder(x), encoder(trim_padding(x)), atol=1e-5)
    images = torch.rand(2, 3, 8, 8)
    assert trim_padding(images) is images


def test_statistics_of_an_image_encoder_stay_those_it_was_pretrained_with():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder, x = EfficientNet(32).train(), torch.rand(4, 3, 32, 32)
    before = encoder.network._bn0.running_mean.clone()
    classifier = Tune(encoder, epochs=1, rate=1e-4).adapt(Support(x, torch.tensor([0, 0, 1, 1])))
    assert classifier.predict_proba(x).shape == (4, 2)
    assert torch.equal(classifier.layers[0].weights["network._bn0.running_mean"], before)
