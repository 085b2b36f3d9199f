"""Invitations to a federation: tokens that each let one site have one certificate.

A token is ``site.secret.fingerprint``: whose it is, 32 random bytes, and SHA-256 of the certificate that the server
shows, so that a site needs to trust nobody else. The server keeps a hash of the secret, and once it was used the key
that it was used for: who asks again with the same key, because an answer was lost, gets a certificate again.
"""

import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from domains.errors import UserError, check_known
from domains.whole_file import write_whole
from tasks.federate.kits import NOTE, ORGANISATION, PROJECT, server_of
from tasks.service.processes import file_lock

HOURS = 72  # for which a token can be used
INVITATIONS = "invitations.json"
KEY_BITS = range(2048, 4097)


class Refused(Exception):
    """A certificate is not given; the message says why to who asked, in one line."""


def join_port(port: int) -> int:
    """Return where sites fetch certificates: the port after the federation's."""
    return port + 1


def invite(folder: Path, sites: Iterable[str], hours: float = HOURS) -> dict[str, str]:
    """Return by site the command that takes part with a new token; an older token of that site is void.

    Raises:
        UserError: there are no kits in the folder, or none of such a site.
    """
    try:
        known = json.loads((folder / NOTE).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"no federation {folder.name} here; begin it: acclimate federate serve") from error
    sites = list(sites)
    check_known(sites, known["sites"], "site", f" in {folder.name}")
    pin = fingerprint(server_of(folder / known["kits"]) / "startup" / "server.crt")
    lines = {}
    with file_lock(folder / f"{INVITATIONS}.lock"):
        kept = _read(folder)
        for site in sites:
            secret = secrets.token_urlsafe(32)
            kept[site] = {"hash": _hash(secret), "expires": time.time() + 3600 * hours, "key": None}
            url = f"https://{known['host']}:{join_port(known['port'])}"
            lines[site] = f"acclimate federate join {url} --token {site}.{secret}.{pin}"
        write_whole(folder / INVITATIONS, json.dumps(kept))
    return lines


def to_invite(folder: Path) -> list[str]:
    """Return the sites that have no token: none was made, or it expired before it was used."""
    kept, known = _read(folder), json.loads((folder / NOTE).read_text("utf-8"))
    return [s for s in known["sites"] if s not in kept or (not kept[s]["key"] and kept[s]["expires"] < time.time())]


def certify(folder: Path, site: str, secret: str, request: str) -> dict[str, Any]:
    """Return the certificate of a site, that of the root, and where the federation is, in exchange for a token.

    Args:
        request: a certificate signing request (PEM); of it, only the key is used.

    Raises:
        Refused: the token is none, expired or was used for another key.
        ValueError: the request is none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    with file_lock(folder / f"{INVITATIONS}.lock"):
        kept = _read(folder)
        found = kept.get(site, {"hash": _hash("")})
        if not hmac.compare_digest(found["hash"], _hash(secret)) or site not in kept:
            raise Refused("the token is not valid; ask the server's side for a new one")
        if found["expires"] < time.time():
            raise Refused("the token has expired; ask the server's side for a new one")
        asked = x509.load_pem_x509_csr(request.encode())
        key = asked.public_key()
        if not (isinstance(key, RSAPublicKey) and key.key_size in KEY_BITS and asked.is_signature_valid):
            raise ValueError("no request for an RSA key")
        digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
        if found["key"] not in (None, digest):
            raise Refused("the token was used already; ask the server's side for a new one, and who used it")
        certificate, root = _sign(folder, site, key)
        found["key"] = digest
        write_whole(folder / INVITATIONS, json.dumps(kept))
    note = json.loads((folder / NOTE).read_text("utf-8"))
    return {"certificate": certificate, "root": root, "host": note["host"], "port": note["port"]}


def fingerprint(certificate: Path) -> str:
    """Return SHA-256 of a certificate in PEM."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))).hexdigest()


def _sign(folder: Path, site: str, key: Any) -> tuple[str, str]:
    """Return a certificate of a site's key, and the root's, as FLARE makes them for a startup kit."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from nvflare.lighter.utils import Identity, generate_cert, serialize_cert

    state = json.loads((folder / PROJECT / "state" / "cert.json").read_text("utf-8"))
    root = x509.load_pem_x509_certificate(state["root_cert"].encode())
    signing = load_pem_private_key(state["root_pri_key"].encode(), None)
    who, until = Identity(site, ORGANISATION), root.not_valid_after_utc
    made = generate_cert(who, Identity(PROJECT), signing, key, not_valid_after=until)
    return serialize_cert(made).decode(), state["root_cert"]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / INVITATIONS
    return json.loads(path.read_text("utf-8")) if path.exists() else {}
