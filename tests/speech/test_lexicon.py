"""Lexicons, line by line."""

from __future__ import annotations

import pytest

from meta_shrink import DataError
from meta_shrink.speech.alignment import said_by, words_of
from meta_shrink.speech.lexicon import chosen_lexicon, read_lexicon, read_lexicons
from meta_shrink.speech.recordings import Place


def written(tmp_path, text: str) -> str:
    (tmp_path / "lexicon.txt").write_text(text, encoding="utf-8")
    return str(tmp_path / "lexicon.txt")


def test_without_a_file_there_is_nothing():
    assert read_lexicons([]) == {} == chosen_lexicon(None)


def test_the_first_pronunciation_of_a_word_counts(tmp_path):
    said = []
    path = written(tmp_path, "A\tAH0\nA\tEY0\na AH\n\nreading R EH1 D IH0 NG\nEMPTY\n")
    wanted = {"A": ("AH",), "READING": ("R", "EH", "D", "IH", "NG")}
    assert read_lexicon(Place(path), log=said.append) == wanted
    again, empty = said
    assert again.startswith("1 line(s)") and again.endswith("of which the first way counts: A")
    assert empty.startswith("1 line(s)") and empty.endswith(": EMPTY")


@pytest.mark.parametrize("word", ["O\u2019Neil", "o'neil", "O\u2018NEIL"])
def test_every_apostrophe_is_the_one_of_texts(tmp_path, word):
    lexicon = read_lexicon(Place(written(tmp_path, f"{word} OW N IY L\n")))
    (spoken,) = words_of(f"{word}.")
    assert lexicon == {spoken.upper(): ("OW", "N", "IY", "L")}


@pytest.mark.parametrize(
    "word", ["ANNE-MARIE", "READ(2)", ";;;", "CAF\u00c9", "MR.", "'BOUT", "B2"]
)
def test_a_line_that_no_text_asks_for_is_told(tmp_path, word):
    said = []
    path = written(tmp_path, f"{word} B OW\nBO B OW\n")
    assert chosen_lexicon(path, log=said.append) == {"BO": ("B", "OW")}
    assert len(said) == 1 and word in said[0] and "change nothing" in said[0]


@pytest.mark.parametrize("text", ["", "\n", "BO\n", "BO,B OW\n", "T-SHIRT T IY\n"])
def test_a_lexicon_without_a_usable_line_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="has no line WORD PHONE PHONE"):
        read_lexicon(Place(written(tmp_path, text)))


def test_a_word_in_quotes_is_said_as_it_is_without(tmp_path):
    lexicon = read_lexicon(Place(written(tmp_path, "BO B OW\nBO' B AA\nANN AE N\n")))
    for text, phones in {
        "\u2018Ann\u2019": ("AE", "N"),
        "'ann'": ("AE", "N"),
        "bo": ("B", "OW"),
        "'bo'": ("B", "AA"),  # That is a word of its own here.
        "'cy'": (),
    }.items():
        (word,) = words_of(text)
        assert said_by(lexicon, word) == phones
