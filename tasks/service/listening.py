"""Where our Prefect server may listen: this machine alone, or elsewhere behind a password."""

import os
from ipaddress import ip_address

from domains.errors import UserError

PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there: 127.0.0.0/8, ::1 or localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, and only one is sure
        return host.lower() == "localhost"


def check_host(host: str) -> None:
    """Refuse to listen where other machines reach us without a password, as whoever reaches the server runs commands.

    Raises:
        UserError: the host is not loopback and the server would ask for no password.
    """
    if not is_loopback(host) and not os.environ.get(PASSWORD, "").strip():
        raise UserError(
            f"ACCLIMATE_HOST={host} lets other machines run commands on this one without a password: "
            f"set {PASSWORD}=user:password, or unset ACCLIMATE_HOST"
        )
