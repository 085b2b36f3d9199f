"""An encrypted federation comes to what another comes to, and its server reads nothing of it."""

import inspect
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from learners.federated.averaging import Moments, pool_scale
from learners.federated.encryption import BITS, DEGREE, SCALE_BITS, Key, add, flatten, make_key, unflatten
from learners.federated.federation import Outcome
from learners.federated.sealed_federation import SealedFederation
from learners.federated.sealed_site import SealedSite
from learners.federated.server import State
from learners.federated.site import Site, make_learner, start
from tests.learners.federated.test_federation import (
    DIM,
    SAME,
    TRAINING,
    Wire,
    dies_in_the_second_round,
    federation,
    site,
    without_b_in_the_second_round,
)

pytest.importorskip("tenseal", reason="TenSEAL is in an extra: pip install -e '.[federate]'")

SHARED = make_key()


def sealed(plain: Site, key: bytes = SHARED, **more) -> SealedSite:
    known = {name: value for name, value in vars(plain).items() if not name.startswith("_")}
    return SealedSite(**known | more, key=Key(key))


class Watched(Wire):
    """A wire that keeps why sites gave no answer."""

    def __init__(self, *given):
        super().__init__(*given)
        self.refusals = []
        for one in self.sites.values():
            one.answer = self.watch(one.answer)

    def watch(self, answer):
        def watched(question, told):
            try:
                return answer(question, told)
            except ValueError as error:
                self.refusals.append(str(error))
                raise

        return watched


def sites(**more):
    return {"a": sealed(site(1), **more), "b": sealed(site(2, 3), **more)}


serve = partial(federation, kind=SealedFederation)


def opened(found, one):
    return Outcome.of(one.reveal(found.arrays()))


@pytest.fixture(scope="module")
def plain():
    return federation(Wire({"a": site(1), "b": site(2, 3)})).run()


def differ(one, other):
    return max(float((one[n][k] - other[n][k]).abs().max()) for n in one for k in one[n])


def test_it_comes_to_what_another_federation_comes_to(plain):
    lines, wire = [], Wire(sites())
    result = serve(wire, lines).run()
    found = opened(result, wire.sites["b"])
    assert not lines
    assert differ(found.weights, plain.weights) < 1e-4
    for name, sums in plain.sums.items():
        for kind, value in sums.arrays().items():
            np.testing.assert_allclose(getattr(found.sums[name], kind), value, rtol=1e-5, atol=1e-6, err_msg=kind)
    assert found.histograms.keys() == {n for n, value in plain.histograms.items() if value.any()}
    for name, value in found.histograms.items():
        np.testing.assert_allclose(value, plain.histograms[name], rtol=1e-5, atol=1e-6)
    assert found.prior.thresholds == plain.prior.thresholds
    fresh = opened(result, sealed(site(5)))  # which was in no round
    assert differ(fresh.weights, found.weights) == 0


def test_what_travels_and_what_the_server_keeps_is_ciphertext_but_for_numbers_of_domains_and_losses(tmp_path):
    path, kept = tmp_path / "state.checkpoint", []

    def note(question, name, answer):
        kept.extend((question, key, value) for key, value in answer.items())
        return answer

    result = serve(Wire(sites(), note), path=path).run()
    words = {("hello", name) for name in ("encoder", "version", "learners", "key", "train", "prior")}
    read = {(question, key) for question, key, value in kept if value.dtype != np.uint8} - words
    assert {key for _, key in read} == {"domains", "loss.protonet"}
    assert all(value.size == 1 for question, key, value in kept if (question, key) in read)
    tables = load_file(path) | result.arrays()
    for name, value in tables.items():
        assert value.dtype == np.uint8 or value.size == 1, name
    state, about = State.load(path)
    assert about["key"] == Key(SHARED).name
    first = start(make_learner("protonet", TRAINING["protonet"], DIM, None), torch.zeros(DIM), torch.ones(DIM))
    numbers = sum(value.numel() for value in first.values())
    assert state.weights["protonet"]["sum"].numel() > 4 * numbers
    with pytest.raises(ValueError, match="no key"):
        Key(state.weights["protonet"]["sum"].numpy().tobytes())


def test_a_server_that_died_and_a_site_that_comes_late_go_on(tmp_path, plain):
    path = tmp_path / "state.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        serve(Wire(sites(), dies_in_the_second_round()), path=path).run()
    again = Wire(sites())  # which know nothing of the first round
    found = opened(serve(again, path=path).run(), again.sites["a"])
    assert again.asked.count("round") == 2
    assert differ(found.weights, plain.weights) < 1e-4


def test_a_site_that_dies_costs_a_round_nothing(plain):
    lines, both = [], Wire(sites(), without_b_in_the_second_round())
    found = opened(serve(both, lines).run(), both.sites["a"])
    without = federation(Wire({"a": site(1), "b": site(2, 3)}, without_b_in_the_second_round())).run()
    assert not lines
    assert differ(found.weights, without.weights) < 1e-4 < differ(found.weights, plain.weights)


def test_a_site_with_another_key_is_left_out_in_one_line_and_reads_why():
    wire, lines = Watched(sites() | {"c": sealed(site(3), make_key())}), []
    serve(wire, lines).run()
    assert lines == ["c: not used: its key is another one than that of the first site"]
    assert wire.refusals == ["--key is not the key of the other sites; ask for theirs and join again"]


def test_a_site_and_a_server_of_which_one_alone_encrypts_do_not_begin():
    with pytest.raises(ValueError, match="the federation is encrypted; join with the key that its sites share: --key"):
        site(1).answer("hello", serve(Wire({}))._hello())
    with pytest.raises(ValueError, match="what is not encrypted; start it with --encrypted, or join without --key"):
        sealed(site(1)).answer("hello", SAME.arrays())


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (np.arange(300).astype(np.uint8), "it is not a ciphertext"),
        (np.zeros(0, np.uint8), "it is not a ciphertext of 5 numbers by this version"),
        (Key(SHARED).seal(np.ones(3)), "it is not a ciphertext of 5 numbers by this version"),
        (Key(SHARED).seal(np.ones(5))[:-99], "it is not a ciphertext"),
        (np.frombuffer(len(SHARED).to_bytes(4, "big") + SHARED, np.uint8), "it is not a ciphertext"),
    ],
    ids=["bytes", "nothing", "size", "cut", "key"],
)
def test_what_is_no_ciphertext_is_not_added(bad, line):
    right = Key(SHARED).seal(np.arange(5.0))
    total, refused = add({"a": right, "b": bad, "c": right}, 5)
    assert refused.keys() == {"b"}
    assert refused["b"].startswith(line)
    np.testing.assert_allclose(Key(SHARED).open(total, 5), 2 * np.arange(5), atol=1e-7)


def test_an_answer_that_cannot_be_added_is_left_out_in_one_line():
    def change(question, name, answer):
        return answer | {"protonet/sealed": np.arange(9)} if (question, name) == ("round", "b") else answer

    lines, wire = [], Wire(sites(), change)
    found = opened(serve(wire, lines, rounds=1).run(), wire.sites["a"])
    silent = Wire({"a": site(1), "b": site(2, 3)}, lambda q, n, a: None if (q, n) == ("round", "b") else a)
    assert differ(found.weights, federation(silent, rounds=1).run().weights) < 1e-4
    assert lines == ["b: protonet/sealed not used in round 0: it is not a ciphertext"]


@pytest.mark.parametrize("by", ["site", "server"])
def test_a_site_refuses_weights_that_clipped_updates_cannot_lead_to(by):
    numbers = sum(v.numel() for v in make_learner("protonet", TRAINING["protonet"], DIM, None).state_dict().values())

    def bend(sealed):
        far = Key(SHARED).seal(np.full(numbers, 2.0))
        return add({"what it was": np.asarray(sealed), "far": far}, numbers)[0]

    def change(question, name, answer):
        if (by, question, name) != ("site", "round", "b"):
            return answer
        return answer | {"protonet/sealed": bend(answer["protonet/sealed"])}

    class Bending(SealedFederation):
        def _average(self, state, answers, validate):
            after = super()._average(state, answers, validate)
            table = after.weights["protonet"]
            bent = {**table, "sum": torch.from_numpy(bend(table["sum"]))}
            return replace(after, weights={"protonet": bent}) if by == "server" else after

    wire = Watched(sites(), change)
    running = serve(wire, rounds=2)
    result = Bending(*(getattr(running, name) for name in ("plan", "identity", "dim", "ask")), episodes=8).run()
    pattern = r"protonet: the weights of all are [\d.]+ from those of round 0, in round 1 [\d.]+ is the most: [^\n]+"
    assert wire.refusals[:2] == [wire.refusals[0]] * 2
    assert re.fullmatch(pattern, wire.refusals[0])
    assert differ(opened(result, wire.sites["a"]).weights, opened(result, sealed(site(5))).weights) == 0
    before = opened(serve(Wire(sites(), lambda q, n, a: None if q == "round" else a)).run(), sealed(site(5)))
    assert differ(opened(result, sealed(site(5))).weights, before.weights) == 0  # the best that sites measured


def test_sums_that_no_episodes_have_are_refused_at_the_sites():
    wire = Wire(sites())
    forged = serve(wire).run().arrays() | {"histograms/episodes": np.array(1)}
    with pytest.raises(ValueError, match=r"sums of all are not used: \w+: \d+ episodes of \d+ domains"):
        wire.sites["a"].reveal(forged)


def test_an_update_that_is_long_is_clipped_at_the_site(plain):
    wire = Wire(sites())
    found = opened(serve(wire, rounds=2, clip=1e-3).run(), wire.sites["a"])
    other = federation(Wire({"a": site(1), "b": site(2, 3)}), rounds=2, clip=1e-3).run()
    assert differ(found.weights, other.weights) < 1e-6
    assert differ(found.weights, plain.weights) > 1e-3


def test_a_site_without_anything_held_out_or_shared_sends_what_it_has():
    small = sealed(replace(site(2), validation=[], prior=[]))
    lines, wire = [], Wire({"a": sealed(site(1)), "small": small, "c": sealed(site(3), share=("prior",))})
    found = opened(serve(wire, lines).run(), wire.sites["a"])
    assert not lines
    assert found.prior.regressions
    prior = Wire({"a": sealed(site(1), share=("prior",)), "c": sealed(site(3), share=("prior",))})
    found = opened(serve(prior).run(), prior.sites["a"])
    assert not found.weights
    assert found.prior.regressions


def test_numbers_come_back_to_nine_digits_and_their_sums_after_many_rounds():
    key, generator = Key(SHARED), np.random.default_rng(0)
    values = [20 * generator.standard_normal(9000) for _ in range(100)]
    total, refused = add({str(i): key.seal(v) for i, v in enumerate(values)}, 9000)
    assert not refused
    assert np.abs(key.open(total, 9000) - np.sum(values, 0)).max() < 1e-7
    assert np.abs(Key(make_key()).open(total, 9000) - np.sum(values, 0)).max() > 1e9
    with pytest.raises(ValueError, match="finite"):
        key.seal(np.array([np.nan]))
    for data in (b"", b"x" * 100, SHARED[:-9]):
        with pytest.raises(ValueError, match="it is not the key of a federation"):
            Key(data)
    table = {"b": np.ones((2, 3)), "a": np.array(2.0)}
    again = unflatten(flatten(table), {name: value.shape for name, value in table.items()})
    assert all(np.array_equal(again[name], value) for name, value in table.items())


def test_parameters_are_those_of_flare():
    he = pytest.importorskip("nvflare.lighter.impl.he", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")
    theirs = he.HEBuilder()
    given = inspect.signature(he.HEBuilder).parameters
    assert (given["poly_modulus_degree"].default, given["scale_bits"].default) == (DEGREE, SCALE_BITS)
    assert theirs.coeff_mod_bit_sizes == list(BITS)


def test_moments_under_encryption_give_the_scale_of_all():
    parts = {name: torch.cat([pile.x for pile in one.train]) for name, one in sites().items()}
    mean, scale = pool_scale({name: Moments.of(x, {"a": 1, "b": 3}[name]) for name, x in parts.items()})
    wire = Wire(sites())
    found = opened(serve(wire, rounds=1).run(), wire.sites["a"]).weights["protonet"]
    like = start(make_learner("protonet", TRAINING["protonet"], DIM, None), mean, scale)
    buffers = [name for name in like if name.rpartition(".")[2] in ("mean", "scale")]
    assert buffers
    assert all(torch.allclose(found[name], like[name], atol=1e-6) for name in buffers)
