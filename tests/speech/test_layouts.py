"""Ready alignments, line by line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from meta_shrink import DataError
from meta_shrink.speech.features import Phone
from meta_shrink.speech.ready_alignment import read_alignment, read_alignments
from meta_shrink.speech.recordings import Place


def alignment(folder, phones) -> str:
    path = folder / "phone_alignment.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(json.dumps({"utterance": "u", "phones": phones}) + "\n")
    return str(path)


def test_words_are_counted_and_noises_are_silence(tmp_path):
    rows = [["SIL", 0, 9, "<sil>"], ["AH", 9, 3, "a"], ["+NSN+", 12, 8, "[NOISE]"]]
    rows += [["AH", 20, 4, "a"], ["K", 24, 6, "cat(2)"], ["AE", 30, 5, "cat(2)"]]
    assert read_alignment(Place(alignment(tmp_path, rows))) == {
        "u": [
            Phone("SIL", 0.0, 0.09, -1),
            Phone("AH", 0.09, 0.03, 0),
            Phone("SIL", 0.12, 0.08, -1),
            Phone("AH", 0.2, 0.04, 1),
            Phone("K", 0.24, 0.06, 2),
            Phone("AE", 0.3, 0.05, 2),
        ]
    }


NO_PHONES = [[["AA", 0]], 7, None]
NO_PHONES += [[["AA", *span, "a"]] for span in (["x", 3], [0.12, 0.03], [0, float("nan")], [5, -1])]
NO_PHONES += [[[None, 0, 3, "a"]]]


@pytest.mark.parametrize("phones", NO_PHONES)
def test_rows_that_are_no_phones_are_refused(tmp_path, phones):
    with pytest.raises(DataError, match="is no alignment"):
        read_alignment(Place(alignment(tmp_path, phones)))


def test_an_alignment_that_is_cut_off_is_refused(tmp_path):
    path = Path(alignment(tmp_path, [["AA", 0, 1, "a"]] * 200))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="is no alignment"):
        read_alignment(Place(str(path)))


def test_two_alignments_are_one_or_refused(tmp_path):
    places = []
    for name, end in (("a", 9), ("b", 9), ("c", 8)):
        (tmp_path / name).mkdir()
        places.append(Place(alignment(tmp_path / name, [["AA", 0, end, "a"]])))
    assert read_alignments([]) == {}
    assert read_alignments(places[:2]) == {"u": [Phone("AA", 0.0, 0.09, 0)]}
    with pytest.raises(DataError, match="aligns u otherwise than another"):
        read_alignments(places)
