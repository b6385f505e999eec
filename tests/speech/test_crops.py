"""Pieces of utterances against pieces cut by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError
from meta_shrink.speech import crops
from meta_shrink.speech.crops import (
    Utterances,
    Window,
    mixed,
    pieces,
    random_pieces,
    rows_of,
    tiles,
)
from meta_shrink.speech.features import network_features
from tests.speech.samples import utterance

WINDOW = Window(frames=4, context=3, hop=80)
OWN = [utterance("a", 10, seed=1), utterance("b", 3, seed=2), utterance("c", 6, seed=3)]
FEWER = [utterance(name, 5, seed=4 + n) for n, name in enumerate("vwxyz")]
ALL = rows_of([FEWER, OWN], WINDOW, [6, 7])
DATA = Utterances(*(x[1] for x in ALL))


def piece(row: int, first: int, window: Window = WINDOW):
    batch = pieces(DATA, tf.constant([row]), tf.constant([first]), window)
    return tf.nest.map_structure(lambda x: x.numpy()[0], batch)


def test_a_piece_in_the_middle_is_the_utterance_itself():
    (before, features), codes, weights = piece(0, 4)
    own = OWN[0]
    assert (codes == own.codes[1 * 80 : 8 * 80]).all()
    assert before[0] == 128 and (before[1:] == own.codes[1 * 80 : 8 * 80 - 1]).all()
    told = network_features(own.features.phones[1:8], own.features.numbers[1:8])
    assert (features == told.numpy()).all()
    assert (weights[: 3 * 80] == 0).all()
    assert (weights[3 * 80 :] == 1).all()


def test_before_the_start_there_is_silence():
    (before, features), codes, _ = piece(0, 0)
    assert (codes[: 3 * 80] == 128).all() and (before[: 3 * 80 + 1] == 128).all()
    assert (codes[3 * 80 :] == OWN[0].codes[: 4 * 80]).all()
    assert (features[:3, 0] == 1).all()  # The phone before is silence.


def test_behind_the_end_nothing_weighs():
    _, codes, weights = piece(0, 8)
    assert (codes[3 * 80 : 5 * 80] == OWN[0].codes[8 * 80 :]).all()
    assert (weights > 0).tolist() == [False] * 240 + [True] * 160 + [False] * 160


def test_a_row_that_is_padding_weighs_nothing():
    _, _, weights = pieces(DATA, [3], [0], WINDOW)
    assert (weights.numpy() == 0).all()


def test_tiles_score_every_sample_once():
    table = tiles([10, 3, 6], WINDOW)
    assert table.tolist() == [[0, 0], [0, 4], [0, 8], [1, 0], [2, 0], [2, 4]]
    _, codes, weights = pieces(DATA, table[:, 0], table[:, 1], WINDOW)
    scored = codes.numpy()[weights.numpy() > 0]
    assert (scored == np.concatenate([own.codes for own in OWN])).all()


def test_random_pieces_reach_all_frames_about_equally():
    _, codes, weights = random_pieces(DATA, tf.constant([3, 4]), 3000, WINDOW)
    length = (weights.numpy() > 0).sum(1) // 80
    # Utterances by their frames: 10 and 6 hold a whole piece, 3 does not; the rest is empty.
    assert (length == 4).mean() == pytest.approx(16 / 19, abs=0.03)
    assert (length == 3).mean() == pytest.approx(3 / 19, abs=0.03)
    starts = {tuple(row[240:250]) for row in codes.numpy()[length == 4]}
    wanted = {tuple(OWN[0].codes[80 * f : 80 * f + 10]) for f in range(7)}
    wanted |= {tuple(OWN[2].codes[80 * f : 80 * f + 10]) for f in range(3)}
    assert starts == wanted


def test_random_pieces_depend_on_the_key_alone():
    draw = tf.function(lambda key: random_pieces(DATA, key, 5, WINDOW)[1], jit_compile=True)
    first = draw(tf.constant([1, 2]))
    assert (first == draw(tf.constant([1, 2]))).numpy().all()
    assert (first == random_pieces(DATA, tf.constant([1, 2]), 5, WINDOW)[1]).numpy().all()
    assert not (first == draw(tf.constant([1, 3]))).numpy().all()


def test_the_speaker_is_told_where_it_is_asked():
    (_, _, told), _, _ = pieces(DATA, [0, 2], tf.constant([0, 1]), WINDOW._replace(told=True))
    assert told.numpy().tolist() == [7, 7]


def test_all_speakers_mixed_are_those_of_each():
    """Utterance 5 n + u of all is utterance u of speaker n, who is told by number."""
    data, told = mixed(ALL), WINDOW._replace(told=True)
    assert data.row.numpy().tolist() == [0] * 5 + [1] * 5
    for speaker, own in enumerate([FEWER, OWN]):
        alone = Utterances(*(x[speaker] for x in ALL))
        for number in range(len(own)):
            for first in (0, 2):
                ours = pieces(data, [5 * speaker + number], tf.constant([first]), told)
                wanted = pieces(alone, [number], tf.constant([first]), told)
                for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(wanted), strict=True):
                    assert (a.numpy() == b.numpy()).all()
                assert ours[0][2].numpy() == 6 + speaker


def test_no_context_is_a_window_too():
    window = Window(frames=2, context=0, hop=80)
    data = Utterances(*(x[0] for x in rows_of([OWN], window, [0])))
    _, codes, weights = pieces(data, [1], tf.constant([0]), window)
    assert (codes.numpy()[0] == OWN[1].codes[:160]).all() and (weights.numpy() > 0).all()


def test_leaves_may_be_tensors():
    data = Utterances(*(tf.constant(x) for x in DATA))
    ours = pieces(data, tf.constant([0]), tf.constant([2]), WINDOW)
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(piece(0, 2)), strict=True):
        assert (a.numpy()[0] == b).all()


def test_more_than_the_machine_holds_is_refused(monkeypatch):
    """Two speakers, each with room for 19 frames and three silences of 3, of 107 bytes."""
    size = 2 * (19 + 3 * 3) * (80 + 27)
    own = [OWN, OWN[:1]]
    monkeypatch.setattr(crops, "memory_bytes", lambda: size)
    rows_of(own, WINDOW, [0, 1])
    monkeypatch.setattr(crops, "memory_bytes", lambda: size - 1)
    with pytest.raises(DataError, match="2 speakers, each with room for as much speech as the one"):
        rows_of(own, WINDOW, [0, 1])
