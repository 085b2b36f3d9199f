"""The proof that ``data/`` is what the committed ``data.dvc`` names."""

from dataclasses import dataclass
from pathlib import Path

from domains.errors import UserError
from domains.words import some
from tasks.versions.cache import listing_at
from tasks.versions.data_folder import keep_in_cache, read_folder
from tasks.versions.dvc_repo import dvc, dvc_lock
from tasks.versions.revisions import changed_names, data_revision, parse_pointer


@dataclass(frozen=True)
class Verification:
    """Whether ``data/`` is what the committed ``data.dvc`` names.

    Attributes:
        ok: the two hashes are equal, and every byte is in DVC's cache.
        expected: hash that ``data.dvc`` names.
        actual: hash of what is in ``data/``.
        changed: what differs directly under ``data/`` (domains, as a rule), or None where the listing of
            the expected files is neither in the cache nor at the remote.
        only_new: whether ``data/`` has all that it names as it names it, and more.
    """

    ok: bool
    expected: str
    actual: str
    changed: tuple[str, ...] | None
    only_new: bool = False


def verify(root: Path) -> Verification:
    """Prove that ``data/`` is what ``data.dvc`` names at HEAD, and keep its bytes in DVC's cache.

    ``data.dvc`` and ``data/`` stay as they are. Only files that changed since the last time are hashed.

    Raises:
        UserError: as ``data_revision``; ``data.dvc`` has changes that are not committed; ``data/`` is absent;
            another DVC command runs; the cache cannot be written.
    """
    committed = data_revision(root)
    pointer, data = root / "data.dvc", root / "data"
    text = pointer.read_text("utf-8", "surrogateescape") if pointer.exists() else None
    if text is None or parse_pointer(text, str(pointer)) != committed.data_hash:
        raise UserError(
            f"{pointer} is not as committed: acclimate data commit versions data/ as it is, "
            "git checkout HEAD -- data.dvc undoes the change"
        )
    if not data.is_dir():
        raise UserError(f"{data} is absent: run acclimate data build")
    with dvc(root) as repo, dvc_lock(repo):
        found = read_folder(repo)
        if found.data_hash == committed.data_hash:
            keep_in_cache(repo, found)
            return Verification(True, found.data_hash, found.data_hash, ())
    try:
        expected = listing_at(root, committed)
    except UserError:
        return Verification(False, committed.data_hash, found.data_hash, None)
    changed, only_new = changed_names(expected, found.files), set(expected) <= set(found.files)
    return Verification(False, committed.data_hash, found.data_hash, changed, only_new)


def describe_difference(found: Verification) -> str:
    """Return a line that says what differs, and what to do."""
    if found.changed and found.only_new:
        return (
            f"data/ has what data.dvc does not name yet ({some(found.changed)}): `acclimate data commit -m MESSAGE` "
            "versions it"
        )
    what = ", ".join(found.changed or ()) or "unknown which domain"
    return (
        f"data/ is not what data.dvc names (differs: {what}): `acclimate data build --force` builds the built-in "
        "domains again, `dvc checkout` brings back the others; `acclimate data commit` versions your changes"
    )
