"""Where source files and the weights of encoders are fetched from, and kept."""

from domains.fetch import Fetch
from tasks.base.settings import Settings


def fetcher(settings: Settings) -> Fetch:
    """Return what fetches a file from the mirror or the network, once."""
    return Fetch(settings.home_path / "downloads", settings.mirror)
