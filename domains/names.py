"""Turn label names into phrases that an encoder can read."""

import re
from collections.abc import Sequence

LETTERS = re.compile(r"[^\W\d_]{2,}")
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def label_phrases(labels: Sequence[str]) -> list[str] | None:
    """Return label names as phrases: ``AddToPlaylist`` and ``add_to_playlist`` become ``add to playlist``.

    Return None where a name has no word in it (numbers, codes), or two would read the same: then names tell nothing.
    """
    phrases = [" ".join(re.split(r"[\s_.:/\-]+", HUMP.sub(" ", label))).strip().lower() for label in labels]
    if len(set(phrases)) < len(phrases) or not all(LETTERS.search(phrase) for phrase in phrases):
        return None
    return phrases
