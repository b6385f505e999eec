"""Texts become phones, or are refused in a sentence."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.speech.features import PHONES
from meta_shrink.speech.pronunciation import text_phones
from meta_shrink.speech.spelling import spell

if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "g2p_en")):
    pytest.skip("needs the extra speech", allow_module_level=True)

PHONES_OF = {
    "good": "G UH D",
    "cats": "K AE T S",
    "don't": "D OW N T",
    "Jess\u2019s": "JH EH S IH Z",
    "reptile,": "R EH P T AY L SIL",
    "shrinkage": "SH R IH NG K IH JH",
    "'yes'": "Y EH S",
    "well-read": "W EH L R EH D",
    "-": "SIL",
    "oh...": "OW SIL",
    "(no)": "SIL N OW SIL",
}
REFUSED = (
    "1998",
    "3rd",
    "na\u00efve",
    "50%",
    "cats&dogs",
    "a_b",
    "\u4f60\u597d",
    "\u0130",
    "K\u212a",
    "e\u0301",
)
REFUSED += ("\u00bd", "\U0001f600", "a\x00b", "<b>", "\uff21")


def shown(text: str) -> str:
    phones = text_phones(text)
    assert (phones.starts.sum() == phones.ends.sum()) and phones.starts.any()
    return " ".join(PHONES[number] for number in phones.numbers)


def test_known_words_and_pauses():
    assert shown("good") == "SIL G UH D SIL"
    assert shown("Good, cats") == "SIL G UH D SIL K AE T S SIL"
    assert shown("Good.\nCats") == "SIL G UH D SIL K AE T S SIL"
    assert shown("good\ncats!") == "SIL G UH D K AE T S SIL"
    own = " ".join(spell("flornick"))
    assert shown("reptile's flornick's") == f"SIL R EH P T AY L Z {own} S SIL"
    assert shown("good - cats") == "SIL G UH D SIL K AE T S SIL"
    assert shown("\u201cGood\u201d \u2018cats\u2019") == "SIL G UH D K AE T S SIL"


def test_a_lexicon_says_how_words_are_said():
    lexicon = {"CATS": ("D", "AO", "G", "Z"), "DR": ("D", "AA", "K", "T", "ER")}
    phones = text_phones("good, Dr. cats", lexicon=lexicon)
    said = " ".join(PHONES[number] for number in phones.numbers)
    assert said == "SIL G UH D SIL D AA K T ER D AO G Z SIL"
    with pytest.raises(UsageError, match="says 'cats' with 'Q', which is no phone of ARPAbet"):
        text_phones("good cats", lexicon={"CATS": ("Q",)})


def test_starts_and_ends_of_words():
    phones = text_phones("good, I")
    assert phones.starts.tolist() == [False, True, False, False, False, True, False]
    assert phones.ends.tolist() == [False, False, False, True, False, True, False]


@pytest.mark.parametrize("seed", range(8))
def test_drawn_texts_are_said_or_refused(seed):
    """Of pieces that are known, in any order, with at most one that makes no English."""
    rng = np.random.default_rng(seed)
    words = [str(word) for word in rng.choice(list(PHONES_OF), 6)]
    text = " ".join(words)
    if not any(re.search("[a-zA-Z]", word) for word in words):
        with pytest.raises(UsageError, match="has no word"):
            text_phones(text)
        return
    said = [PHONES_OF[word] for word in words]
    expected = " ".join(["SIL", *said, "SIL"])
    assert shown(text) == re.sub("SIL( SIL)+", "SIL", expected)
    words.insert(int(rng.integers(7)), str(rng.choice(REFUSED)))
    with pytest.raises(UsageError, match="cannot be spoken: write it in English words"):
        text_phones(" ".join(words))


@pytest.mark.parametrize("odd", REFUSED)
def test_what_is_no_english_word_is_refused_by_its_sign(odd):
    with pytest.raises(UsageError, match="cannot be spoken"):
        text_phones(f"good {odd}")


@pytest.mark.parametrize("text", ["Dr. Jones", "in Main St.", "five kg", "ten km"])
def test_what_is_short_for_a_word_is_refused(text):
    with pytest.raises(UsageError, match=r"is short for .*[:;] write it out"):
        text_phones(text)


@pytest.mark.parametrize("text", ["", "  ", "...", "'", "-", "?!", "\n"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(UsageError, match="has no word"):
        text_phones(text)


def test_a_text_or_a_word_that_is_too_long_is_refused():
    assert text_phones("a" + " a" * 499 + ".").starts.sum() == 500
    with pytest.raises(UsageError, match="1001 characters; expected 1000 at most"):
        text_phones("a" + " a" * 500)
    with pytest.raises(UsageError, match="too long to be spelled"):
        text_phones("blaintedflornickwugsy")


GOOD, CATS = "G UH D", "K AE T S"


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("good...cats", f"{GOOD} SIL {CATS}"),
        ("good.Cats", f"{GOOD} SIL {CATS}"),
        ("good!cats", f"{GOOD} SIL {CATS}"),
        ("good\n\ncats", f"{GOOD} SIL {CATS}"),
        ("good\n \t\ncats", f"{GOOD} SIL {CATS}"),
        ("Good.\u201d Cats", f"{GOOD} SIL {CATS}"),
        ("no. Cats", f"N OW SIL {CATS}"),
        ("Mr. Cats", f"M IH S T ER {CATS}"),
        ("good Mrs. Cats", f"{GOOD} M IH S IH Z {CATS}"),
        ("U.S. cats", f"Y UW EH S {CATS}"),
        ("U.S.A., cats", f"Y UW EH S EY SIL {CATS}"),
        ("the U S A", "DH AH Y UW EH S EY"),
        ("a.m. cats", f"EY EH M {CATS}"),
        ("e.g. cats", f"IY JH IY {CATS}"),
        ("I.e. cats", f"AY IY {CATS}"),
        ("a cat", "AH K AE T"),
        ("good I. Cats", f"{GOOD} AY SIL {CATS}"),
    ],
)
def test_full_stops_are_pauses_where_a_sentence_ends(text, phones):
    assert shown(text) == f"SIL {phones} SIL"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Prof. Cats", "'prof' .* is short for something: write it out"),
        ("in Main Ave.", "'ave' .* is short"),
        ("No. five", "'no' .* is short"),
        ("good vs. cats", "'vs' .* is short"),
        ("in Feb. or later", "'feb' .* is short"),
        ("J. Cats", r"J\. before 'Cats' .* may end a sentence or not"),
        ("the U.S. Army", r"S\. before 'Army' .* may end a sentence or not"),
        ("good.cats", r"good\.cats .* may be a name or two sentences"),
    ],
)
def test_what_may_be_said_in_two_ways_is_refused(text, told):
    with pytest.raises(UsageError, match=told):
        text_phones(text)


def test_a_lexicon_says_what_is_short_and_no_pause_follows():
    lexicon = {"PROF": ("P", "R", "AH"), "NO": ("N", "AH"), "A": ("AA",)}
    phones = text_phones("Prof. Cats a.m.", lexicon=lexicon)
    said = " ".join(PHONES[number] for number in phones.numbers)
    assert said == f"SIL P R AH {CATS} AA EH M SIL"
