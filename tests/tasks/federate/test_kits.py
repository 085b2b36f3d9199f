"""Startup kits: who may come in, and what the server's side may do at a site."""

import json
import stat

import pytest

from domains.errors import UserError
from tasks.federate.kits import CLASSES, make_kits, read_kit

pytest.importorskip("nvflare", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")

SITES = ("north", "south")


@pytest.fixture
def kits(tmp_path):
    return make_kits(tmp_path / "fed", "localhost", 18102, SITES)


def test_a_kit_a_site_is_made_once_and_knows_whose_it_is(kits, tmp_path):
    assert {path.name for path in kits.iterdir()} >= {*SITES, "localhost"}
    certificate = (kits / "north" / "startup" / "client.crt").read_bytes()
    assert make_kits(tmp_path / "fed", "localhost", 18102, ["south", "north"]) == kits
    assert (kits / "north" / "startup" / "client.crt").read_bytes() == certificate
    assert read_kit(kits / "south") == "south"
    assert stat.S_IMODE((tmp_path / "fed").stat().st_mode) == 0o700


def test_a_site_builds_two_classes_and_none_of_the_servers_code(kits):
    local = kits / "north" / "local"
    resources = json.loads((local / "resources.json").read_text())
    assert tuple(resources["class_allow_list"]) == CLASSES
    assert resources["class_list_enforcement_mode"] == "enforce"
    assert resources["allow_log_streaming"] is False
    (rights,) = json.loads((local / "authorization.json").read_text())["permissions"].values()
    assert rights["byoc"] == rights["shell_commands"] == "none"
    client = json.loads((kits / "north" / "startup" / "fed_client.json").read_text())
    assert client["client"]["connection_security"] == "mtls"


def test_the_servers_state_lies_in_its_folder(kits, tmp_path):
    text = (kits / "localhost" / "local" / "resources.json").read_text()
    assert "/tmp/nvflare" not in text
    assert str(tmp_path / "fed" / "flare") in text


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sites": ("north", "west")}, "has kits of north, south at localhost:18102; give the same, or another --name"),
        ({"port": 18103}, "has kits of north, south at localhost:18102"),
        ({"sites": ("north",)}, "a federation needs two sites or more"),
        ({"sites": ("../x", "north")}, r"\.\./x"),
    ],
    ids=["sites", "port", "one", "path"],
)
def test_what_does_not_fit_is_refused_in_one_line(kits, tmp_path, change, line):
    asked = {"folder": tmp_path / "fed", "host": "localhost", "port": 18102, "sites": SITES} | change
    with pytest.raises(UserError, match=line):
        make_kits(**asked)


def test_what_is_no_kit_is_said_in_one_line(kits, tmp_path):
    for folder in (tmp_path, kits / "localhost"):
        with pytest.raises(UserError, match="is not a site's startup kit"):
            read_kit(folder)
