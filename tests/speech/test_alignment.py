"""Words to phones, and phones to times, on real voices."""

from __future__ import annotations

import contextlib
import importlib.util

import numpy as np
import pytest
from scipy.signal import resample_poly

from meta_shrink import DataError
from meta_shrink.speech.alignment import (
    SCORE_UNIT,
    HeardPhone,
    HeardWord,
    align,
    pronounce,
    require_fit,
    words_of,
)
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.spelling import spell
from tests.image_data import published


@pytest.fixture(scope="module")
def corpus():
    pytest.importorskip("pocketsphinx")
    return find_recordings(str(published("speech") / "so762_sample_wav.tar.gz"))


def samples_of(recording) -> tuple[np.ndarray, int]:
    return decode(recording.place.read(), recording.utterance)


def as_rows(phones) -> list[tuple]:
    return [(p.name, round(p.start, 2), round(p.length, 2)) for p in phones]


def test_it_gives_the_published_alignment_with_few_exceptions(corpus):
    found, told = 0, 0
    for recording in corpus.recordings:
        got = align(*samples_of(recording), recording.text, corpus.lexicon)
        starts = {p.name: [q.start for q in got if q.name == p.name] for p in got}
        for phone in recording.phones:
            told += 1
            found += any(abs(start - phone.start) <= 0.03 for start in starts.get(phone.name, ()))
        words = [p.word for p in got if p.word >= 0]
        assert sorted(set(words)) == list(range(len(words_of(recording.text))))
    assert found / told > 0.95


def test_another_sample_rate_moves_boundaries_little(corpus):
    samples, _ = samples_of(corpus.recordings[0])
    text = corpus.recordings[0].text
    first = align(samples, 16_000, text, {})
    again = align(resample_poly(samples, 3, 2).astype(np.float32), 24_000, text, {})
    assert [p.name for p in first] == [p.name for p in again]
    assert max(abs(a.start - b.start) for a, b in zip(first, again, strict=True)) <= 0.03


@pytest.mark.parametrize("lexicon", [{}, {"BLAINTED": ("B", "L", "EY", "N", "T", "IH", "D")}])
def test_a_word_that_no_dictionary_has(corpus, lexicon):
    recording = corpus.recordings[0]
    samples, rate = samples_of(recording)
    word = "blainted" if lexicon else "flornick"
    phones = align(samples, rate, f"{recording.text} {word}", lexicon)
    own = [p.name for p in phones if p.word == len(words_of(recording.text))]
    assert tuple(own) == (lexicon["BLAINTED"] if lexicon else spell(word))


def test_a_lexicon_adds_a_way_to_say_a_word_that_the_dictionary_says_otherwise(corpus):
    recording = corpus.recordings[0]
    samples, rate = samples_of(recording)
    first, *rest = words_of(recording.text)
    (said,) = pronounce([first], {})
    assert pronounce(["table"], {"TABLE": said}) == [said] != pronounce(["table"], {})
    text = " ".join(["table", *rest])
    for lexicon in ({"TABLE": said}, {"TABLE": said, first.upper(): ("Z", "UH")}):
        phones = align(samples, rate, text, lexicon)
        assert tuple(p.name for p in phones if p.word == 0) == said
    with pytest.raises(DataError, match="says 'table' with 'Q9', which is no phone of ARPAbet"):
        align(samples, rate, text, {"TABLE": ("T", "Q9")})
    # What does not fit the sound is not taken.
    own = {first.upper(): ("Z", "UH", "ZH", "UH")}
    assert as_rows(align(samples, rate, recording.text, own)) == as_rows(
        align(samples, rate, recording.text, {})
    )


def test_many_texts_of_other_recordings_are_refused(corpus):
    """Every right one passes: the tests above align them."""
    refused, recordings = 0, corpus.recordings
    for number, recording in enumerate(recordings):
        try:
            align(*samples_of(recording), recordings[number - 1].text, corpus.lexicon)
        except DataError as error:
            refused += "does not seem to be what is said" in str(error)
    assert 3 <= refused < 12


@pytest.mark.parametrize(
    ("nats", "count", "refused"), [(-7, 10, True), (-7, 9, False), (-6.4, 10, False), (0, 0, False)]
)
def test_a_text_is_refused_by_the_mean_of_its_phones(nats, count, refused):
    """Each counts once, however long; silence does not count."""
    lengths = [3 + number % 5 for number in range(count)]
    phones = [HeardPhone("AA", 0, n, round(nats * n / SCORE_UNIT)) for n in lengths]
    noise = HeardWord("[NOISE]", [HeardPhone("+NSN+", 0, 9, -10_000)])
    with pytest.raises(DataError) if refused else contextlib.nullcontext():
        require_fit([noise, HeardWord("word", phones)])


def test_text_that_does_not_fit_is_refused_and_leaves_no_trace(corpus):
    recording = corpus.recordings[0]
    samples, rate = samples_of(recording)
    first = as_rows(align(samples, rate, recording.text, {}))
    with pytest.raises(DataError, match="cannot be aligned"):
        align(samples[:800], rate, recording.text, {})
    align(*samples_of(corpus.recordings[5]), corpus.recordings[5].text, {})
    assert as_rows(align(samples, rate, recording.text, {})) == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IT WAS GOOD", ["it", "was", "good"]),
        ("Well -- don't; it's Jess\u2019s.", ["well", "don't", "it's", "jess's"]),
        ("twenty-one", ["twenty", "one"]),
        ("\ufeffdon\u02bct go.\ufeff", ["don't", "go"]),
        ("\u2018don\u2018t\u2026 (he said) \u00abyes\u00bb\u00a1", ["don't", "he", "said", "yes"]),
    ],
)
def test_words_of_a_text(text, words):
    assert words_of(text) == words


NOT_SAID = [
    "",
    "...",
    "in 1998",
    "naïve idea",
    "3rd",
    "Tom & Jerry",
    "a + b",
    "ten %",
    "well \U0001f600",
]
NOT_SAID += [
    "nai\u0308ve",
    "so\u00adft",
    "O\u2032Neil",
    "and/or",
    "don`t",
    "a\u200bb",
    "go\0",
    "\ud800 go",
]


@pytest.mark.parametrize("text", NOT_SAID)
def test_a_text_that_cannot_be_said_is_refused(text):
    with pytest.raises(DataError, match="its text"):
        words_of(text)


@pytest.mark.parametrize("word", ["kg", "km's"])
def test_what_is_short_for_a_word_is_not_spelled_unless_a_lexicon_has_it(word):
    pytest.importorskip("pocketsphinx")
    assert pronounce([word], {word.upper(): ("K", "IY")}) == [("K", "IY")]
    with pytest.raises(DataError, match=f"{word[:2]!r} of its text is short for something"):
        pronounce([word], {})


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("shrinkage", "SH R IH NG K IH JH"),
        ("reptile", "R EH P T AH L"),
        ("o'brien", "B AO R IY N"),
        ("queue", "K Y UW"),
    ],
)
def test_spelled_words(word, phones):
    if importlib.util.find_spec("g2p_en") is None:
        pytest.skip("needs g2p_en")
    assert " ".join(spell(word)) == phones
