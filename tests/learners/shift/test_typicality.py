"""Examples of none of the classes: which are marked, how many of the others, and what is kept of it."""

import pytest
import torch

from learners.shift.typicality import FILE, OUTSIDE, ClassDistance, Typicality

N, D = 4, 24
COLUMNS = ((0, 16), (20, 24))


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(N, D, generator=generator) * 3

    def examples(n, away=0.0):
        y = torch.arange(n) % N
        x = centres[y] * (1 - away) - away * centres.sum(0) + torch.randn(n, D, generator=generator)
        return x, y, torch.softmax(-torch.cdist(x, centres).square() / 8, 1)

    return examples


@pytest.fixture
def known(draw):
    x, y, _ = draw(400)
    distance = ClassDistance.fit(x, y, COLUMNS)
    held_out, _, p = draw(1000)
    return Typicality.of(distance, distance(held_out), p.max(1).values)


def test_as_many_examples_of_the_classes_are_marked_as_stated_and_most_of_the_others(draw, known):
    x, _, p = draw(2000)
    found = known(x, p)
    assert 0.03 < float((found < OUTSIDE).float().mean()) < 0.07
    assert float(found.mean()) == pytest.approx(0.5, abs=0.05)
    x, _, p = draw(200, away=0.9)
    assert float((known(x, p) < OUTSIDE).float().mean()) > 0.9


def test_an_example_that_is_like_no_class_in_particular_is_marked_wherever_it_lies(draw, known):
    x, _, p = draw(4)
    assert (known(x, torch.full((4, N), 1 / N)) < known(x, p)).all()


def test_the_distance_is_mahalanobis_to_the_nearest_mean_of_unit_features(draw):
    x, y, _ = draw(400)
    found = ClassDistance.fit(x, y, ((0, D),))
    u = torch.nn.functional.normalize(x, dim=1).double()
    means = torch.stack([u[y == c].mean(0) for c in range(N)])
    inverse = (found.whiten @ found.whiten.T).double()
    away = u[:5, None] - means
    expected = torch.einsum("ncd,de,nce->nc", away, inverse, away).min(1).values
    assert found(x[:5]).tolist() == pytest.approx(expected.tolist(), rel=1e-3)
    assert torch.equal(found(x), found(x * 7)) or torch.allclose(found(x), found(x * 7), rtol=1e-3)


def test_other_columns_are_not_read_and_a_saved_one_says_the_same(draw, known, tmp_path):
    x, _, p = draw(10)
    known.save(tmp_path)
    again = Typicality.load(tmp_path)
    other = x.clone()
    other[:, 16:20] = 100.0
    assert torch.equal(again(other, p), known(x, p))
    (tmp_path / FILE).write_bytes(b"damaged")
    assert Typicality.load(tmp_path) is None
    assert Typicality.load(tmp_path / "nowhere") is None


def test_classes_of_one_example_each_have_a_distance():
    found = ClassDistance.fit(torch.eye(3), torch.arange(3), ((0, 3),))
    assert torch.isfinite(found(torch.rand(4, 3))).all()
