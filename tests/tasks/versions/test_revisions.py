"""What a git revision names, and what it may not."""

import subprocess
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.versions.revisions import content_hash, data_revision, parse_pointer


@pytest.mark.parametrize("revision", ["nope", "", "-h", "--output=x", "HEAD:data.dvc", "a b", "HEAD\0"])
def test_a_revision_that_is_none_is_named_and_never_an_option_of_git(checkout, revision: str) -> None:
    with pytest.raises(UserError) as raised:
        data_revision(checkout.root, revision)
    assert repr(revision) in str(raised.value)


def test_a_revision_without_data_dvc_and_a_folder_without_git_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a git checkout"):
        data_revision(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    user = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *user, "commit", "--quiet", "--message", "-", "--allow-empty"], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match=r"has no data\.dvc"):
        data_revision(tmp_path)


@pytest.mark.parametrize("text", ["", "outs: []", "outs: [{path: data, md5: abc, hash: md5}]", "[", "outs: 3"])
def test_a_data_dvc_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"here does not name the folder data/"):
        parse_pointer(text, "here")


def test_a_content_hash_depends_on_names_and_contents_only() -> None:
    assert content_hash((("a", "1"), ("b", "2"))) == content_hash((("b", "2"), ("a", "1")))
    assert content_hash((("a", "1"),)) != content_hash((("b", "1"),))
