"""Drift of a domain with a champion: what is compared, what is said, and what is opened."""

import hashlib
import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from domains.errors import UserError
from domains.market.regime import VOLATILITY
from domains.same_example import content_keys
from learners.classifier import Affine, Classifier
from learners.shift.typicality import ClassDistance, Typicality
from tasks.adapt.held_out import HeldOut
from tasks.base.settings import Settings
from tasks.drift import steps
from tasks.drift.accuracy import accuracy_in_service
from tasks.drift.cases import domain_adapted_on
from tasks.drift.examples import label_changes, outcome_in_words, read_new_and_old
from tasks.drift.page import drift_page, small_png
from tasks.drift.steps import act_on, check_all_known, compare_with_old, plan_drift, report
from tasks.features import encoding
from tasks.features.encoders import BUILT_IN, MINILM
from tasks.features.spec import EncoderSpec
from tasks.models import registry
from tasks.predict import records
from tasks.versions.snapshots import snapshot

ALPHABET = "abcdefgh"


class Letters:
    """An encoder that counts letters."""

    def encode(self, texts):
        return torch.tensor([[float(text.count(letter)) for letter in ALPHABET] for text in texts])


NEWS = {"name": "news", "family": "text", "role": "target", "labels": ["a|b", "<b>", "rare"]}
STOCKS = {"name": "stocks", "family": "market", "role": "target", "labels": ["calm", "usual", "turbulent"]}


def words(n, share, seed):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(ALPHABET), size=20, p=share)) for _ in range(n)]


EVEN, TURNED = np.full(8, 1 / 8), np.array([4, 4, 1, 1, 1, 1, 0, 0]) / 12
OLD = words(160, EVEN, 0)
SAME, OTHER = [*OLD, *words(60, EVEN, 1)], [*OLD, *words(60, TURNED, 2)]


def parquet(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def news(pool):
    train = {"text": words(30, EVEN, 5), "label": [i % 3 for i in range(30)]}
    shards = {"train": train, "test": {"text": words(9, EVEN, 6), "label": [0] * 9}, "pool": {"text": pool}}
    return {f"{split}.parquet": parquet(**columns) for split, columns in shards.items()}


def stocks(days, jump=None):
    """A market that is at another level from day ``jump`` on; its first 60 days are train and pool."""
    rng = np.random.default_rng(3)
    dates = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2024-01-01", periods=days)]
    x = rng.normal(size=(days, 16)).astype(np.float32) / 5
    x[:, VOLATILITY] += 0 if jump is None else 1.5 * (np.arange(days) >= jump)
    cut = {"train": slice(0, 60, 2), "pool": slice(1, 60, 2), "test": slice(65, days)}
    return {
        f"{name}.parquet": parquet(date=dates[at], asset=["A"] * len(dates[at]), x=list(x[at]))
        for name, at in cut.items()
    }


def commit(root: Path, domains: dict[str, tuple[dict, dict[str, bytes]]]) -> str:
    """Version domains by hand, as DVC does, and return the commit."""

    def store(content: bytes, ending: str = "") -> str:
        name = hashlib.md5(content).hexdigest() + ending
        path = root / ".dvc/cache/files/md5" / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    files = []
    for name, (about, shards) in domains.items():
        for file, content in {"domain.yaml": yaml.safe_dump(about).encode(), **shards}.items():
            files.append({"md5": store(content), "relpath": f"{name}/{file}"})
    pointer = {"md5": store(json.dumps(files).encode(), ".dir"), "hash": "md5", "path": "data"}
    (root / "data.dvc").write_text(yaml.safe_dump({"outs": [pointer]}))
    for command in (["add", "data.dvc"], ["-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", "data"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True).stdout[
        :-1
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A checkout with champions of news and stocks at its first commit, and later commits by name."""
    root = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCLIMATE_ROOT", str(root))
        spec = EncoderSpec("letters-1", 8, MINILM, lambda archive, folder: None, lambda folder: Letters())
        patch.setitem(BUILT_IN["text"], "minilm", spec)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        s = Settings(root=root, processes=1)
        (s.home_path / "encoders" / "letters-1").mkdir(parents=True)
        encoding._encoder.cache_clear()
        at = {"first": commit(root, {"news": (NEWS, news(OLD)), "stocks": (STOCKS, stocks(150))})}
        for name, encoder in (("news", "letters-1"), ("stocks", "market-features-1")):
            domain = snapshot(root, s.home_path, name)
            folder = root / "adapted" / name
            folder.mkdir(parents=True)
            width = 8 if name == "news" else 16
            Classifier((Affine(torch.eye(3, width), torch.zeros(3)),), domain.labels).save(folder)
            tags = {"family": domain.family, "encoder": encoder, "revision": domain.revision}
            version = registry.log_adapted(s, name, folder, {}, {}, tags | {"content_hash": domain.content_hash})
            registry.promote(s, name, version, lambda _: None)
        at["same"] = commit(root, {"news": (NEWS, news(SAME)), "stocks": (STOCKS, stocks(200))})
        at["few"] = commit(root, {"news": (NEWS, news([*OLD, "aab", "bbc", "cca"])), "stocks": (STOCKS, stocks(151))})
        at["other"] = commit(root, {"news": (NEWS, news(OTHER)), "stocks": (STOCKS, stocks(200, jump=145))})
        yield SimpleNamespace(root=root, settings=s, at=at)
        encoding._encoder.cache_clear()


def compare_domain(world, revision, domain="news", file=None, alpha=0.01):
    (case,) = plan_drift.fn(domain, world.at[revision], None if file is None else str(file), alpha)
    return compare_with_old.fn(case)


def result(world, revision, domain="news", **more):
    return compare_domain(world, revision, domain, **more).result


@pytest.fixture
def csv(tmp_path):
    def write(texts):
        pd.DataFrame({"text": texts}).to_csv(tmp_path / "new.csv", index=False)
        return tmp_path / "new.csv"

    return write


def test_where_nothing_is_new_that_is_said_and_nothing_is_compared(world):
    for domain in ("news", "stocks"):
        found = result(world, "first", domain)
        assert (found.state, found.line()) == ("nothing new", f"{domain}: nothing new since the champion was adapted")


def test_only_what_the_champion_has_not_seen_is_new_and_the_pool_is_old(world):
    (case,) = plan_drift.fn("news", world.at["same"], None, 0.01)
    found = read_new_and_old(world.settings, case)
    assert (set(found.new), set(found.old)) == (set(SAME) - set(OLD), set(OLD))


def test_new_examples_of_the_same_kind_are_no_drift(world):
    found = result(world, "same")
    assert (found.state, found.new, found.old) == ("no drift", 60, 160)
    assert found.p > 0.01
    assert found.line().endswith("60 new examples)")


def test_new_examples_of_another_kind_are_drift_and_the_page_shows_why(world):
    page, found = compare_domain(world, "other").page, result(world, "other")
    assert (found.state, found.new) == ("drift", 60)
    assert found.p <= 0.01
    assert found.statistic > found.threshold
    assert sum(found.after.values()) == pytest.approx(1, abs=1e-3)
    assert found.after["a|b"] > found.before["a|b"]
    assert len(found.farthest) == 5
    assert all(text in OTHER for text, _ in found.farthest)
    assert page.startswith("# news\\: drift \\(p \\= ")
    assert "data:image/png;base64," in page
    assert "a\\|b" in page
    assert "<b>" not in page


def test_too_few_new_examples_say_how_many_are_needed(world, csv):
    assert result(world, "few").why == "3 new examples, 30 are needed to tell"
    with pytest.raises(UserError, match=r"new.csv: 3 new examples, 30 are needed to tell; add more"):
        result(world, "first", file=csv(["abc", "bcd", "cde"]))


def test_equal_examples_count_once_and_known_ones_not_at_all(world, csv):
    with pytest.raises(UserError, match=r"1 new example, 30 are needed to tell \(499 more are equal to others or"):
        result(world, "first", file=csv(["abcabc"] * 500))
    with pytest.raises(UserError, match="0 new examples, 30 are needed"):
        result(world, "first", file=csv(OLD))


def test_an_empty_file_is_one_line(world, tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(UserError, match=r"empty.csv: no examples in it"):
        result(world, "first", file=tmp_path / "empty.csv")


def test_examples_of_a_file_are_tested_and_nothing_is_opened_before_they_are_committed(world, csv, monkeypatch):
    monkeypatch.setattr(steps, "open_adaptation", lambda *_: pytest.fail("opened"))
    found = compare_domain(world, "first", file=csv(words(60, TURNED, 9)))
    done = act_on.fn(found, adapt=True).result
    assert done.state == "drift"
    assert "add the examples to the pool in data/news" in done.line()


def test_a_champion_of_another_encoder_is_told_and_stops_no_other_domain(world, monkeypatch):
    spec = EncoderSpec("letters-2", 8, MINILM, lambda archive, folder: None, lambda folder: Letters())
    monkeypatch.setitem(BUILT_IN["text"], "minilm", spec)
    with pytest.raises(UserError, match="reads features of letters-1, now the encoder is letters-2"):
        result(world, "same")
    results = [compare_with_old.fn(case).result for case in plan_drift.fn(None, world.at["same"], None, 0.01)]
    assert {each.domain: each.state for each in results} == {"news": "unknown", "stocks": "no drift"}
    with pytest.raises(
        steps.DriftUnknownError, match="1 of 2 domains failed: news: the champion of news reads"
    ) as error:
        check_all_known(results)
    assert error.value.results == results
    assert check_all_known(results[1:]) == results[1:]


def test_what_cannot_be_asked_for_where_it_drifted_stops_no_other_domain_and_is_told_in_the_end(world, monkeypatch):
    def ask(*_):
        raise UserError("the ledger cannot be used")

    monkeypatch.setattr(steps, "open_adaptation", ask)
    (alone,) = plan_drift.fn("news", world.at["other"], None, 0.01)
    with pytest.raises(UserError, match="the ledger cannot be used"):
        act_on.fn(compare_with_old.fn(alone), adapt=True)
    done = act_on.fn(compare_with_old.fn(replace(alone, patient=True)), adapt=True).result
    assert done.state == "drift"
    assert done.line().endswith("; not adapted to: the ledger cannot be used")
    with pytest.raises(steps.DriftUnknownError, match="1 of 1 domains failed: news: the ledger cannot be used"):
        check_all_known([done])


def test_what_cannot_be_asked_is_told_at_once(world):
    at = world.at["same"]
    for arguments, said in {
        ("news", at, None, 0.0): "alpha = 0.0: a false-alarm rate from 0.001 to 0.2",
        ("news", "nope", None, 0.01): "unknown git revision 'nope'",
        ("../news", at, None, 0.01): "domain name '../news'",
        ("hpo", at, None, 0.01): "domain hpo has no champion yet",
        (None, at, "new.csv", 0.01): "which domain are the examples of new.csv of",
    }.items():
        with pytest.raises(UserError) as error:
            plan_drift.fn(*arguments)
        assert said in str(error.value)


def test_the_data_of_the_champion_is_found_by_its_hash_where_its_commit_is_gone(world, monkeypatch):
    (case,) = plan_drift.fn("news", world.at["same"], None, 0.01)
    case.champion.tags["revision"] = "0" * 40
    assert len(read_new_and_old(world.settings, case).new) == 60


# Markets


def test_a_market_without_another_regime_has_not_drifted(world):
    found = result(world, "same", "stocks")
    assert (found.state, found.new, found.change, found.alarms) == ("no drift", 50, None, [])
    assert "no alarm after 2024-03-22, 50 new days; of changes of volatility to 3 times, half are noticed" in found.why


def test_a_regime_that_began_after_the_champion_was_adapted_is_drift(world):
    page, found = compare_domain(world, "other", "stocks").page, result(world, "other", "stocks")
    assert found.state == "drift"
    assert found.adapted_until == "2024-03-22"
    assert "2024-07-10" <= found.change <= "2024-08-07"  # the jump is on 2024-07-22
    assert found.levels["volatility_after"] > 3 * found.levels["volatility_before"]
    assert (found.alarm_by, "2024-07-15" <= found.alarm_began <= "2024-07-25") == ("volatility", True)
    assert "2024-07-22" < found.alarms[0] < "2024-09-01"
    assert 3 < found.alarm_change < 6  # 4.5 times
    assert f"drift (alarm on {found.alarms[0]}, volatility 4." in found.why
    assert "; half of such changes are noticed within " in found.why
    assert found.days_late[0] > 0
    assert "champion adapted until" in page
    assert "what moved first" in page
    assert "data:image/png;base64," in page


def test_prices_that_are_none_are_told_with_asset_and_day(world, tmp_path):
    prices = pd.DataFrame({"A": np.linspace(10, 20, 300), "B": 1.0}, pd.bdate_range("2024-01-01", periods=300))
    prices.iloc[270, 0] = -1
    prices.to_csv(tmp_path / "prices.csv", index_label="date")
    with pytest.raises(UserError, match=r"prices.csv: prices: A on 2025-01-13 is "):
        result(world, "same", "stocks", file=tmp_path / "prices.csv")


# What is opened


def test_an_adaptation_is_opened_where_there_is_drift_and_it_is_wanted(world, monkeypatch):
    opened = []
    monkeypatch.setattr(steps, "open_adaptation", lambda *asked: opened.append(asked[1:3]) or "adapt asked for")
    found = compare_domain(world, "other")
    assert report.fn(act_on.fn(found, adapt=True)).line().endswith("; adapt asked for")
    assert opened == [("news", world.at["other"])]
    assert act_on.fn(found, adapt=False).result.action == "to adapt: acclimate adapt news"
    assert act_on.fn(compare_domain(world, "same"), adapt=True).result.action == ""
    assert len(opened) == 1


# Words and pictures


def test_an_outcome_in_words():
    assert outcome_in_words(False, 0.43, 512, []) == "no drift (p = 0.43, 512 new examples)"
    assert outcome_in_words(True, 0.0005, 1512, ["heart 10 to 30 %"]).startswith(
        "drift (p < 0.001, 1,512 new examples): other"
    )
    assert outcome_in_words(True, 0.002, 50, []).endswith("the examples are of another kind")


def test_labels_are_named_whose_interval_leaves_out_no_change():
    before, after = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.4, 0.4])
    shift = SimpleNamespace(before=before, after=after, low=after - before - 0.15, high=after - before + 0.15)
    assert label_changes(("a", "b", "c"), shift) == ["a 50 to 20 %", "c 20 to 40 %"]


def test_an_image_on_the_page_is_small_and_made_anew():
    out = io.BytesIO()
    Image.new("RGB", (900, 300), "red").save(out, "BMP")
    assert Image.open(io.BytesIO(small_png(out.getvalue()))).size == (160, 53)


# What was predicted, and how often it is right


@pytest.fixture
def predicted(world):
    """Predict texts: what `predict` keeps of them."""

    def keep(key, texts):
        records.folder_of(world.settings, "news").mkdir(parents=True, exist_ok=True)
        records.write_sample(world.settings, "news", key, "text", texts)
        about = {"domain": "news", "source": f"inbox/{key}.csv", "content_hash": key, "version": "1"}
        records.write_record(world.settings, records.Scored(key=key, output="out.csv", rows=1, predicted=1, **about))

    yield keep
    shutil.rmtree(world.settings.home_path / "predictions")


def test_where_the_revision_has_nothing_new_what_was_predicted_last_is_looked_at(world, predicted):
    predicted("may", words(40, TURNED, 7))
    predicted("june", [*words(40, TURNED, 8), *OLD[:30]])  # known ones say nothing
    found = result(world, "first")
    assert (found.state, found.new, found.inputs) == ("drift", 80, ["inbox/june.csv", "inbox/may.csv"])
    assert "80 new examples of inbox/june.csv and 1 more, predicted last" in found.line()
    assert "inbox/may.csv" in compare_domain(world, "first").page.replace("\\", "")
    assert act_on.fn(compare_domain(world, "first"), True).result.action.startswith("add the examples to the pool in")
    assert result(world, "same").inputs == []  # the revision comes first


def test_accuracy_in_service_is_told_from_what_the_champion_said_of_held_out_examples(world, tmp_path):
    (case,) = plan_drift.fn("news", world.at["first"], None, 0.01)
    before = domain_adapted_on(world.settings, case)
    examples, y = before.column("train"), np.array(before.targets("train"))
    shutil.copytree(case.champion.folder, tmp_path / "model")
    champion = SimpleNamespace(folder=tmp_path / "model")
    x = torch.randn(len(y), 8, generator=torch.Generator().manual_seed(0))
    assert accuracy_in_service(champion, before, x, torch.eye(3)[y]) is None  # it keeps nothing
    said = np.full((len(y), 3), 0.1)
    said[np.arange(len(y)), np.where(np.arange(len(y)) < 24, y, (y + 1) % 3)] = 0.8
    keys = content_keys(examples)
    HeldOut(said, said, np.ones(len(y)), keys, keys[:0]).write(tmp_path / "model")
    distance = ClassDistance.fit(x, torch.from_numpy(y), [(0, 8)])
    Typicality.of(distance, distance(x), torch.full((len(y),), 0.8)).save(tmp_path / "model")
    found = accuracy_in_service(champion, before, x, torch.from_numpy(said))
    assert found.before == pytest.approx(0.8)
    assert found.accuracy == pytest.approx(0.8, abs=0.08)
    assert accuracy_in_service(champion, before, 9 + x, torch.full((len(y), 3), 1 / 3)).accuracy < 0.2


def test_the_accuracy_is_in_the_line_and_on_the_page(world):
    found = result(world, "same")
    assert "accuracy" not in found.line()
    known = found.model_copy(update={"accuracy": 0.84, "accuracy_interval": (0.78, 0.89), "accuracy_before": 0.88})
    assert "; accuracy in service about 84 % (78 to 89), was 88 % on held-out labels" in known.line()
    assert "was 88 \\% on held\\-out labels" in drift_page(known)
