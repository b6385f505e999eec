"""Lexicons, line by line."""

from __future__ import annotations

import pytest

from meta_shrink.speech.alignment import words_of
from meta_shrink.speech.lexicon import chosen_lexicon, read_lexicon


def written(tmp_path, text: str) -> str:
    (tmp_path / "lexicon.txt").write_text(text, encoding="utf-8")
    return str(tmp_path / "lexicon.txt")


def test_without_a_file_there_is_nothing(tmp_path):
    assert read_lexicon(str(tmp_path / "none")) == {} == chosen_lexicon(None)


def test_the_first_pronunciation_of_a_word_counts(tmp_path):
    said = []
    path = written(tmp_path, "A\tAH0\nA\tEY0\n\nreading R EH1 D IH0 NG\nEMPTY\n")
    wanted = {"A": ("AH",), "READING": ("R", "EH", "D", "IH", "NG")}
    assert read_lexicon(path, log=said.append) == wanted
    assert len(said) == 1 and said[0].startswith("1 line(s)") and said[0].endswith(": EMPTY")


@pytest.mark.parametrize("word", ["O\u2019Neil", "o'neil", "O\u2018NEIL"])
def test_every_apostrophe_is_the_one_of_texts(tmp_path, word):
    lexicon = read_lexicon(written(tmp_path, f"{word} OW N IY L\n"))
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
