"""A site's token gets it one certificate, over TLS, from the server that the token is of."""

import http.client
import json
import shlex
import socket
import ssl
import stat

import pytest

from domains.errors import UserError
from tasks.base.settings import settings as current
from tasks.federate import enrolment
from tasks.federate.desk import MOST, desk
from tasks.federate.enrolment import find_kit
from tasks.federate.invitations import INVITATIONS, Refused, certify, invite, join_port, to_invite
from tasks.federate.kits import CLASSES, make_kits, read_kit, server_of

pytest.importorskip("nvflare", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "fed"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    make_kits(folder, "localhost", port, ["north", "south"])
    return folder, port


@pytest.fixture
def server(provisioned, tmp_path, monkeypatch):
    """A federation whose certificates are handed out; ``said`` is what its log says."""
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(enrolment, "WAIT", 0)
    folder, port = provisioned
    (folder / INVITATIONS).unlink(missing_ok=True)
    said = []
    with desk(folder, server_of(folder / "federation" / "prod_00"), ("localhost", port), said.append):
        yield folder, f"https://localhost:{join_port(port)}", said


def token_of(folder, site="north", **more):
    words = shlex.split(invite(folder, [site], **more)[site])
    assert words[:3] == ["acclimate", "federate", "join"]
    return words[-1]


def test_a_site_has_its_kit_by_a_token_and_its_key_never_leaves_it(server):
    folder, url, said = server
    assert to_invite(folder) == ["north", "south"]
    token = token_of(folder)
    kit = find_kit(url, token)
    assert read_kit(kit) == "north"
    assert current().home_path in kit.parents
    assert said == ["north has a certificate"]
    assert to_invite(folder) == ["south"]
    key = kit / "startup" / "client.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not list(kit.parent.glob("*.key"))
    assert all(key.read_bytes() != other.read_bytes() for other in folder.rglob("client.key"))
    ssl.create_default_context(cafile=kit / "startup" / "rootCA.pem").load_cert_chain(
        kit / "startup" / "client.crt", key
    )
    assert tuple(json.loads((kit / "local" / "resources.json").read_text())["class_allow_list"]) == CLASSES
    by_hand = folder / "federation" / "prod_00" / "north"
    for name in ("startup/fed_client.json", "local/resources.json", "local/authorization.json", "startup/rootCA.pem"):
        assert (kit / name).read_text() == (by_hand / name).read_text()
    assert find_kit(url, token) == find_kit("north", "") == find_kit(str(kit), "") == kit


def test_the_server_keeps_no_token(server):
    folder, *_ = server
    secret = token_of(folder).split(".")[1]
    assert all(secret.encode() not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_token_is_for_one_key_and_an_answer_that_was_lost_comes_again(server, tmp_path, monkeypatch):
    folder, url, said = server
    token, make = token_of(folder), enrolment.make_site_kit

    def dies(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(enrolment, "make_site_kit", dies)
    with pytest.raises(KeyboardInterrupt):
        find_kit(url, token)
    monkeypatch.setattr(enrolment, "make_site_kit", make)
    assert read_kit(find_kit(url, token)) == "north"
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="gives no certificate: the token was used already"):
        find_kit(url, token)
    assert said[-1].startswith("a request from 127.0.0.1 for a certificate was refused")
    assert read_kit(find_kit(url, token_of(folder))) == "north"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t, url: (t.replace("north", "south", 1), url), "the token is not valid"),
        (lambda t, url: (t.replace(t.split(".")[1], "x" * 43), url), "the token is not valid"),
        (lambda t, url: (t[:-1] + "0f"[t.endswith("0")], url), "not the server that the token is of; nothing was sent"),
        (lambda t, url: (t[:-1], url), "is not a token of a federation: copy the whole line"),
        (lambda t, url: ("../x." + t.partition(".")[2], url), "is not a token of a federation"),
        (lambda t, url: (t, url.replace("https", "http")), "it begins with https://"),
        (lambda t, url: (t, "https://localhost:1"), "does acclimate federate serve run there"),
        (lambda t, url: (t, "north"), "goes with an address such as"),
    ],
    ids=["site", "secret", "pin", "short", "path", "http", "nobody", "name"],
)
def test_what_is_wrong_with_a_token_or_address_is_said_in_one_line(server, change, line):
    folder, url, _ = server
    token, address = change(token_of(folder), url)
    with pytest.raises(UserError, match=line) as error:
        find_kit(address, token)
    assert "\n" not in str(error.value)


def test_tokens_expire_and_a_new_one_voids_the_old(server):
    folder, url, _ = server
    with pytest.raises(UserError, match="the token has expired"):
        find_kit(url, token_of(folder, hours=-1))
    assert to_invite(folder) == ["north", "south"]
    old, new = token_of(folder), token_of(folder)
    with pytest.raises(UserError, match="the token is not valid"):
        find_kit(url, old)
    assert read_kit(find_kit(url, new)) == "north"
    with pytest.raises(UserError, match="east"):
        invite(folder, ["east"])
    with pytest.raises(UserError, match="no federation other here"):
        invite(folder.parent / "other", ["north"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/certificate", b"{}"),
        ("/certificate", b"[" * 9000),
        ("/certificate", json.dumps({"site": "north", "secret": "é", "request": ""}).encode()),
        ("/certificate", b" " * (MOST + 1)),
        ("/../plan.json", b"{}"),
    ],
    ids=["empty", "deep", "token", "large", "path"],
)
def test_the_server_answers_nonsense_with_an_error_and_goes_on(server, path, body):
    folder, url, _ = server
    context = ssl.create_default_context(cafile=folder / "federation" / "prod_00" / "north" / "startup" / "rootCA.pem")
    connection = http.client.HTTPSConnection("localhost", int(url.rpartition(":")[2]), timeout=5, context=context)
    connection.request("POST", path, body)
    response = connection.getresponse()
    assert response.status in (400, 403)
    assert json.loads(response.read())["error"]
    with socket.create_connection(("localhost", int(url.rpartition(":")[2]))) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert read_kit(find_kit(url, token_of(folder))) == "north"


def test_a_request_without_a_good_key_is_none(provisioned):
    folder, _ = provisioned
    _, secret, _ = token_of(folder).split(".")
    with pytest.raises(ValueError, match=r"."):
        certify(folder, "north", secret, "-----BEGIN")
    with pytest.raises(Refused):
        certify(folder, "north", "", "-----BEGIN")
