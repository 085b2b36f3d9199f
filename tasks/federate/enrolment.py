"""How a site comes to its startup kit by a token: its key is made here, only a request for a certificate leaves."""

import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from domains.domain import is_name
from domains.errors import UserError
from tasks.base.settings import settings
from tasks.federate.desk import PATH
from tasks.federate.invitations import join_port
from tasks.federate.kits import ORGANISATION, check_installed, make_site_kit

TIMEOUT, WAIT = 20, 60  # seconds for an answer, and for a server that is being started
MOST = 64 * 1024  # bytes of an answer
HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"


def find_kit(given: str, token: str) -> Path:
    """Return the startup kit of this site: of an address with a token, a folder, or the name of one fetched before.

    Raises:
        UserError: there is none, or the server does not give one.
    """
    if "://" in given:
        return fetch_kit(given, token)
    if token:
        raise UserError(f"--token goes with an address such as https://fl.example.org:8103; {given} is not one")
    fetched = sorted(_fetched().glob(f"*/{given}")) if is_name(given) else []
    if Path(given).is_dir() or not fetched:
        return Path(given).resolve()
    if len(fetched) > 1:
        raise UserError(f"{given} is in several federations; give the folder: {', '.join(map(str, fetched))}")
    return fetched[0]


def fetch_kit(url: str, token: str) -> Path:
    """Return the folder of the kit that a token is for, fetched unless it was; the private key is made here.

    Raises:
        UserError: the address or token is none, or the server is another one, cannot be reached or refuses.
    """
    check_installed()
    parts = urlsplit(url)
    site, secret, pin = [*token.split("."), "", ""][:3]
    if not (is_name(site) and secret and re.fullmatch("[0-9a-f]{64}", pin)):
        raise UserError(
            "--token is not a token of a federation: copy the whole line that the server printed for this site"
        )
    if parts.scheme != "https" or not re.fullmatch(HOST, parts.hostname or ""):
        raise UserError(f"{url} is not the address of a federation's server; it begins with https://")
    folder = _fetched() / pin[:16]
    kit = folder / site
    if kit.exists():
        return kit
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = _own_key(folder / f"{site}.key")
    question = {"site": site, "secret": secret, "request": _request(key, site)}
    until = time.monotonic() + WAIT
    while True:
        try:
            server, answer = _ask(str(parts.hostname), parts.port or join_port(8102), pin, question)
            break
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() > until:
                raise UserError(f"no kit from {url} ({error}); does acclimate federate serve run there?") from error
            time.sleep(1)
    _check(answer, site, key, server)
    files = {"client.key": key, "client.crt": answer["certificate"], "rootCA.pem": answer["root"]}
    make_site_kit(kit, answer["host"], answer["port"], files)
    (folder / f"{site}.key").unlink()
    return kit


def _fetched() -> Path:
    return settings().home_path / "kits"


def _own_key(path: Path) -> str:
    """Return the private key of a site, made where there is none; asked again, it is the same."""
    from nvflare.lighter.utils import generate_keys, serialize_pri_key

    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(serialize_pri_key(generate_keys()[0]))
        os.replace(new, path)
    return path.read_text("ascii")


def _request(key: str, site: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
    from nvflare.lighter.utils import x509_name

    asked = x509.CertificateSigningRequestBuilder().subject_name(x509_name(site, ORGANISATION))
    return asked.sign(load_pem_private_key(key.encode(), None), SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


def _ask(host: str, port: int, pin: str, question: dict[str, str]) -> tuple[bytes, dict[str, Any]]:
    """Return the server's certificate and its answer; nothing is sent to a server that the token is not of.

    Raises:
        UserError: it is another server, or refuses.
        OSError, http.client.HTTPException, ValueError: it cannot be reached or answers something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its certificate is compared with the token
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    try:
        connection.connect()
        server = connection.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(hashlib.sha256(server).hexdigest(), pin):
            raise UserError(f"{host}:{port} is not the server that the token is of; nothing was sent to it")
        connection.request("POST", PATH, json.dumps(question), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read(MOST))
    finally:
        connection.close()
    if response.status != 200:
        said = "".join(c for c in str(answer.get("error", response.status))[:200] if c.isprintable())
        raise UserError(f"{host}:{port} gives no certificate: {said}")
    return server, answer


def _check(answer: dict[str, Any], site: str, key: str, server: bytes) -> None:
    """Raise UserError where an answer is no certificate of this key and site, by the root that the server's is by."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        root = x509.load_pem_x509_certificate(answer["root"].encode())
        mine = x509.load_pem_x509_certificate(answer["certificate"].encode())
        for certificate in (mine, x509.load_der_x509_certificate(server)):
            certificate.verify_directly_issued_by(root)
        named = mine.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        right = mine.public_key() == load_pem_private_key(key.encode(), None).public_key() and named == site
        right &= bool(re.fullmatch(HOST, answer["host"])) and answer["port"] in range(1, 65536)
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, IndexError):
        right = False
    if not right:
        raise UserError("the server answered with no certificate of this site; ask the server's side")
