"""Label names as phrases, where they say something."""

import pytest

from domains.names import label_phrases


@pytest.mark.parametrize(
    ("labels", "phrases"),
    [
        (["AddToPlaylist", "GetWeather"], ["add to playlist", "get weather"]),
        (["comp.sys.mac.hardware", "alt.atheism"], ["comp sys mac hardware", "alt atheism"]),
        (["C01 Bacterial infections", "C02 Virus diseases"], ["c01 bacterial infections", "c02 virus diseases"]),
        (["ABBR:abb", "Tête-à-tête"], ["abbr abb", "tête à tête"]),
    ],
)
def test_names_of_any_spelling_become_phrases(labels, phrases):
    assert label_phrases(labels) == phrases


@pytest.mark.parametrize(
    "labels", [["1", "2"], ["c01", "c02"], ["a", "b"], ["sports", "7"], ["Good", "good"], ["", "x y"]]
)
def test_names_that_say_nothing_are_none(labels):
    assert label_phrases(labels) is None
