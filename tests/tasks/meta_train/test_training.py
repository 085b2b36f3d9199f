"""Meta-training of a family: what is held out, what a key stands for, and a meta-model that comes back whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.episode import Pile, Shape
from domains.errors import UserError
from domains.names import label_phrases
from learners import PLAIN_STRATEGIES
from learners.meta_model import MetaModel
from learners.meta_train import Training
from learners.support import Support
from tasks.features.encoders import BUILT_IN
from tasks.meta_train.recipes import Recipe, rows_used, training_key
from tasks.meta_train.training import MANY, assemble, divide_piles, divide_rows, load_piles, save_new, train_learner

SHAPE = Shape(ways=(2, 3), shots=(1, 4), queries=4, pool=(0, 20), days=6)
TRAINING = Training(SHAPE, steps=4, batch=2, every=2, episodes=3)
RECIPE = Recipe(20, 10, dict.fromkeys(("protonet", "maml", "reference"), TRAINING), prior_episodes=8)
SHARED = Recipe(500, 3, dict.fromkeys(("pooled", "protonet", "maml", "reference"), TRAINING), prior_episodes=8)


def meta_model(settings, domains, recipe, folder):
    """A whole meta-training, as the flow does it."""
    piles, learners, histories = load_piles(settings, domains, recipe), {}, {}
    for name, training in recipe.training.items():
        learners[name], histories[name] = train_learner(name, piles, training, folder / f"{name}.checkpoint")
    return assemble(domains[0].family, piles, learners, histories, recipe)


def classes_of(pile):
    return set(pile.y.tolist())


def test_a_key_changes_with_the_encoder(made, letters, monkeypatch):
    one = made("one")
    key = training_key([one], "text", RECIPE)
    monkeypatch.setitem(BUILT_IN["text"], "minilm", replace(BUILT_IN["text"]["minilm"], identity="letters-2"))
    assert training_key([one], "text", RECIPE) != key


# Rows


def test_the_rows_used_are_capped_by_class_and_the_same_every_time(made):
    domain = made("many", classes=14, per_class=25)
    rows, y = rows_used(domain, RECIPE), domain.targets("train")
    assert rows == rows_used(domain, RECIPE) == sorted(set(rows))
    counts = torch.bincount(torch.tensor([y[row] for row in rows]))
    assert counts[counts > 0].tolist() == [20] * 10
    assert rows_used(domain, replace(RECIPE, seed=1)) != rows


def test_a_small_domain_is_used_whole(made):
    domain = made("small", classes=3, per_class=7)
    assert rows_used(domain, RECIPE) == list(range(21))


# What is held out


def test_few_domains_hold_out_some_of_their_classes_in_two_parts(made, settings, letters):
    piles = load_piles(settings, [made("large", classes=9), made("small", classes=7)], RECIPE)
    assert [[pile.name for pile in part] for part in piles.parts] == [["large", "small"], ["large"], ["large"]]
    parts = [classes_of(part[0]) for part in piles.parts]
    assert [len(part) for part in parts] == [4, 2, 3]
    assert set.union(*parts) == set(range(9))
    assert classes_of(piles.train[1]) == set(range(7))
    assert piles.ways is None
    assert piles.hashes == {"large": "hash of large", "small": "hash of small"}


@pytest.mark.parametrize(("classes", "sizes"), [(8, [4, 2, 2]), (15, [8, 2, 5]), (40, [21, 6, 13])])
def test_the_three_parts_of_a_domain_have_classes_of_their_own(classes, sizes):
    y = torch.arange(classes).repeat(3)
    parts = [part[0] for part in divide_piles([Pile("one", torch.randn(len(y), 2), y)], seed=0)]
    assert [len(classes_of(part)) for part in parts] == sizes
    assert sum(len(part.y) for part in parts) == len(y)


def test_many_domains_hold_out_whole_ones(made, settings, letters):
    domains = [made(f"domain-{i:02}") for i in range(MANY + 1)]
    piles = load_piles(settings, domains, RECIPE)
    parts = [[pile.name[-2:] for pile in part] for part in piles.parts]
    assert parts == [["02", "03", "04", "06", "08", "09"], ["07", "01"], ["10", "05", "00"]]
    assert all(classes_of(pile) == {0, 1, 2} for part in piles.parts for pile in part)


def markets(count, days=60):
    """So many markets, one a year, the latest first."""
    piles = []
    for year in range(count):
        time = torch.arange(days).repeat_interleave(3) + 365 * year
        piles.insert(0, Pile(str(year), time[:, None].float(), torch.arange(len(time)) % 3, True, time))
    return piles


@pytest.mark.parametrize(
    ("count", "days", "parts"),
    [
        (5, 60, [["0", "1", "2"], ["3", "4"], ["3", "4"]]),
        (5, 40, [["0", "1", "2"], ["3"], ["4"]]),  # 25 are needed for an episode
        (3, 60, [["0", "1"], ["2"], ["2"]]),
        (2, 60, [["0"], ["1"], ["1"]]),
    ],
)
def test_markets_hold_out_the_latest_domains_and_of_them_the_later_days_for_the_prior(count, days, parts):
    found = divide_piles(markets(count, days), 0)
    assert [[pile.name for pile in part] for part in found] == parts
    for pile in found[2]:
        before = [other.time.max() for part in found[:2] for other in part if other.name == pile.name]
        assert all(day + 1 < pile.time.min() for day in before)  # with a day in between
    assert max(int(pile.time.max()) for pile in found[0]) < min(int(pile.time.min()) for pile in found[1] + found[2])


def test_piles_of_markets_share_their_labels(made, settings):
    piles = load_piles(settings, [made(f"market-{y}", first=f"{y}-01-01") for y in (2003, 2001, 2002)], SHARED)
    assert [pile.name for pile in piles.train] == ["market-2001", "market-2002"]
    assert piles.ways == 3
    assert all(pile.shared and pile.time is not None for part in piles.parts for pile in part)


def test_classes_of_the_prior_have_more_examples_where_the_recipe_says_so(made, settings, letters):
    domain = made("large", classes=9, per_class=30)
    few, more = (load_piles(settings, [domain], replace(RECIPE, prior_per_class=n)) for n in (0, 27))
    assert set(torch.bincount(more.prior[0].y).tolist()) == {0, 27}
    assert classes_of(few.prior[0]) == classes_of(more.prior[0])
    assert {tuple(x) for x in few.prior[0].x.tolist()} <= {tuple(x) for x in more.prior[0].x.tolist()}
    assert all(torch.equal(a[0].x, b[0].x) for a, b in zip(few.parts[:2], more.parts[:2], strict=True))
    assert divide_rows([domain], replace(RECIPE, prior_per_class=27)).size == more.size == few.size + 3 * 7


def test_features_labels_and_days_stay_together(made, settings, letters):
    domain = made("large", classes=9)
    piles = load_piles(settings, [domain], RECIPE)
    texts, labels = domain.column("train"), domain.targets("train")
    for pile in (*piles.train, *piles.validation, *piles.prior):
        expected = {}
        for x, y in zip(letters.read(texts).tolist(), labels, strict=True):
            expected.setdefault(tuple(x), set()).add(y)
        assert all(y in expected[tuple(x)] for x, y in zip(pile.x.tolist(), pile.y.tolist(), strict=True))
    market = made("market", first="2001-01-01", count=30)
    latest = made("later", first="2002-01-01", count=30)
    pile = load_piles(settings, [market, latest], SHARED).train[0]
    split = market.split("train")
    rows = {tuple(x): (y, date) for x, y, date in zip(split["x"], split["label"], split["date"], strict=True)}
    for x, y, day in zip(pile.x.tolist(), pile.y.tolist(), pile.time.tolist(), strict=True):
        assert rows[tuple(x)] == (y, str(np.datetime64(day, "D")))


def test_only_the_rows_used_are_encoded(made, settings, letters):
    domain, steps = made("many", classes=12, per_class=30), []
    load_piles(settings, [domain], RECIPE, steps.append)
    used = [domain.column("train")[row] for row in rows_used(domain, RECIPE)]
    assert letters.calls == dict.fromkeys([*used, *label_phrases(domain.labels)], 1)
    assert sum(steps) == len(used) == 200


def test_without_domains_there_is_an_error_that_says_how_to_get_them(settings):
    with pytest.raises(UserError, match="no source domain of this family at this revision; build them with"):
        load_piles(settings, [], RECIPE)


def test_too_few_classes_to_hold_out_are_an_error_that_says_how_many_are_needed(made, settings, letters):
    with pytest.raises(UserError, match="no source domain has the 8 classes of 6 examples that meta-training needs"):
        load_piles(settings, [made("small", classes=7)], RECIPE)


def test_one_market_alone_is_an_error_for_nothing_would_be_left_to_train_on(made, settings):
    with pytest.raises(UserError, match="one market source alone: at least two are needed"):
        load_piles(settings, [made("alone", first="2001-01-01")], SHARED)


def test_a_domain_of_too_few_examples_is_an_error_that_names_it_and_what_it_needs(made, settings, letters):
    domains = [made("large", classes=9), made("tiny", classes=4, per_class=5)]
    with pytest.raises(UserError, match="domain tiny: fewer than 2 classes have the 6 examples that 4 shots need"):
        load_piles(settings, domains, RECIPE)


def test_classes_of_too_few_examples_are_not_held_out(made, settings, letters):
    def cut(frame):
        few = frame.groupby("label").cumcount() < 5
        return frame[few | ~frame["label"].isin(["uneven 0", "uneven 3"])].assign(split="train")

    piles = load_piles(settings, [made("uneven", classes=10, split=cut)], RECIPE)
    assert [len(classes_of(part[0])) for part in piles.parts] == [6, 2, 2]
    assert {0, 3} <= classes_of(piles.train[0])


def test_a_market_of_too_few_days_is_an_error_that_names_it_and_what_it_needs(made, settings):
    domains = [made("short", first="2001-01-01", count=12), made("long", first="2002-01-01")]
    with pytest.raises(UserError, match="domain short: 12 dates, an episode needs 13"):
        load_piles(settings, domains, SHARED)


# Training


@pytest.mark.parametrize("name", RECIPE.training)
def test_a_learner_starts_the_same_whatever_was_drawn_before(made, settings, letters, tmp_path, name):
    piles = load_piles(settings, [made("large", classes=9)], RECIPE)
    torch.manual_seed(1)
    one, history = train_learner(name, piles, TRAINING, tmp_path / "one")
    after = torch.get_rng_state()
    torch.manual_seed(2)
    other, _ = train_learner(name, piles, TRAINING, tmp_path / "other")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    torch.manual_seed(1)
    assert torch.equal(after, torch.get_rng_state())  # and it leaves the state of others alone
    assert torch.allclose(one.mean, torch.cat([pile.x for pile in piles.train]).mean(0))
    assert history.step == [0, 2, 4]


@pytest.mark.parametrize(("recipe", "first"), [(RECIPE, None), (SHARED, "2001-01-01")], ids=["text", "market"])
def test_a_meta_model_comes_back_from_its_folder_as_it_was(made, settings, letters, tmp_path, recipe, first):
    if first is None:
        domains = [made("large", classes=9)]
    else:
        domains = [made("early", first=first), made("late", first="2003-01-01")]
    model = meta_model(settings, domains, recipe, tmp_path / "checkpoints")
    folder = save_new(model, tmp_path / "models" / "1")
    loaded = MetaModel.load(folder)
    same = ("family", "encoder", "dim", "ways", "prior")
    assert [getattr(loaded, field) for field in same] == [getattr(model, field) for field in same]
    assert loaded.about["sources"] == {d.name: d.content_hash for d in domains}
    pool = [] if first is None else ["opinion_pool"]
    assert list(loaded.strategies) == [kind.name for kind in PLAIN_STRATEGIES] + list(recipe.training) + pool
    x, y = torch.randn(9, model.dim), torch.arange(3).repeat(3)
    for name, learner in model.learners.items():
        assert type(loaded.learners[name]) is type(learner)
        assert torch.equal(loaded.learners[name].adapt(Support(x, y)).logits(x), learner.adapt(Support(x, y)).logits(x))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{name}.safetensors" for name in recipe.training] + ["meta_model.json"]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_saved_meta_model_is_not_overwritten(made, settings, letters, tmp_path):
    model = meta_model(settings, [made("large", classes=9)], RECIPE, tmp_path / "checkpoints")
    folder = save_new(model, tmp_path / "1")
    before = (folder / "meta_model.json").read_bytes()
    save_new(replace(model, about={"other": 1}), folder)
    assert (folder / "meta_model.json").read_bytes() == before


def test_a_learner_of_a_newer_version_is_refused(made, settings, letters, tmp_path):
    model = meta_model(settings, [made("large", classes=9)], RECIPE, tmp_path / "checkpoints")
    folder = save_new(model, tmp_path / "1")
    about = (folder / "meta_model.json").read_text()
    (folder / "meta_model.json").write_text(about.replace('"protonet"', '"os.system"'))
    with pytest.raises(ValueError, match=r"no learner 'os\.system'"):
        MetaModel.load(folder)


def test_the_prior_is_learned_on_classes_of_its_own_with_few_labels_and_with_all(
    made, settings, letters, tmp_path, monkeypatch
):
    piles = load_piles(settings, [made("large", classes=9)], RECIPE)
    seen = []
    monkeypatch.setattr(
        "tasks.meta_train.training.learn_prior", lambda strategies, episodes, *rest: seen.extend(episodes) or MetaModel
    )
    assemble("text", piles, {}, {}, RECIPE)
    held = {tuple(x) for pile in piles.prior for x in pile.x.tolist()}
    assert len(seen) == RECIPE.prior_episodes
    assert all(tuple(x) in held for episode in seen for x in (*episode.support_x.tolist(), *episode.query_x.tolist()))
    counts = [torch.bincount(episode.support_y) for episode in seen]
    assert min(int(c.max()) for c in counts) == 1
    assert max(int(c.max()) for c in counts) > 10  # of 20
