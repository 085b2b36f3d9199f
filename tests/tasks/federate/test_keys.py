"""The key that sites share: who can read it, and what is said where it is missing, none, or asked for in vain."""

import stat
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from domains.errors import UserError
from flows.federate_commands import app
from learners.federated.federation import Outcome
from tasks.federate.filters import check_unfiltered
from tasks.federate.keys import read_key, write_key
from tasks.federate.plan import ServerPlan, SitePlan, about_of, read_site
from tasks.federate.steps import plan_server

pytest.importorskip("tenseal", reason="TenSEAL is in an extra: pip install -e '.[federate]'")

ASKED = "fed", "text", ("a", "b"), ("protonet",), ("localhost", 8102)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "sites.key"
    assert CliRunner().invoke(app, ["key", str(path)]).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).name == read_key(path).name
    with pytest.raises(UserError, match=r"sites\.key exists; carry it to the other sites"):
        write_key(path)
    with pytest.raises(UserError, match=r"cannot write .*/no/sites\.key: No such file"):
        write_key(tmp_path / "no" / "sites.key")


def test_a_key_that_is_none_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="absent: No such file or directory; one site makes it: acclimate federate key"):
        read_key(tmp_path / "absent")
    (tmp_path / "other").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    with pytest.raises(UserError, match="other: it is not the key of a federation; one site makes it"):
        read_key(tmp_path / "other")


def test_noise_and_filters_which_need_plain_changes_are_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="clipped updates, which --encrypted hides: leave out one of the two"):
        plan_server.fn(*ASKED, {"rounds": 4, "steps": 1, "noise": 1.0, "encrypted": True})
    check_unfiltered(tmp_path)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "privacy.json").write_text("{}")
    with pytest.raises(UserError, match="filters see no changes of weights that --key seals"):
        check_unfiltered(tmp_path)


def test_both_ends_keep_that_it_is_encrypted(tmp_path):
    plan = ServerPlan(tmp_path, "fed", "text", ("a", "b"), ("protonet",), rounds=4, steps=2, encrypted=True)
    plan.write()
    assert ServerPlan.read(tmp_path) == plan
    with pytest.raises(UserError, match="begun with other options"):
        replace(plan, encrypted=False).write()
    plan.keep(Outcome({}, {}, {"prior": np.arange(5)}))
    assert about_of(plan.result())["encryption"] == "CKKS"
    site = SitePlan(tmp_path, "text", "HEAD", key=str(tmp_path / "sites.key"))
    site.write()
    assert read_site(tmp_path) == site
