"""Build domains of the catalogue into ``data/``; without Prefect, as it begins before there is a server."""

from collections.abc import Sequence

from domains import catalogue
from domains.build import build
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.versions.data_folder import writers_lock


def build_named(s: Settings, names: Sequence[str], force: bool = False) -> list[str]:
    """Build domains of the catalogue that ``data/`` lacks (all with ``force``); return the names of those built.

    Raises:
        UserError: a name is not in the catalogue, or a file cannot be had: then nothing was built. Or a file is not the
            pinned one.
    """
    sources = [catalogue.find_source(name) for name in dict.fromkeys(names)]
    todo = [source for source in sources if force or not (s.data_path / source.name).exists()]
    for source in todo:
        for file in source.files:
            if not fetcher(s).has(file):
                fetcher(s).pinned_file(file)  # says what to do
    with writers_lock(s.home_path):
        todo = [source for source in todo if force or not (s.data_path / source.name).exists()]  # others may have built
        with progress("build domains", len(todo)) as advance:
            for source in todo:
                build(source, fetcher(s), s.data_path)
                advance(1)
    return [source.name for source in todo]
