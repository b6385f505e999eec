"""Speech that tensorflow-datasets prepared, read from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.layouts import find_recordings

pytest.importorskip("soundfile", reason="needs the extra [speech]")
tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets")
RATE = 48_000
NAMES = ["p225", "p226"]
RNG = np.random.default_rng(0)
SOUNDS = [RNG.integers(-32768, 32768, 900 + 50 * n) for n in range(5)]


def write(
    folder: Path, splits: dict[str, list[dict[str, Any]]], *, shards: int = 0, **features: Any
) -> str:
    """A data set as tensorflow-datasets writes it; the folder of its version.

    shards: of a split, whose examples are shuffled then.
    """
    features = {"speech": tfds.features.Audio(sample_rate=RATE), **features}

    def data(rows):
        tensors = {key: tfds.features.FeaturesDict(features)[key] for key in features}
        signature = {
            key: tf.TensorSpec([None] if key == "speech" else [], feature.np_dtype or tf.string)
            for key, feature in tensors.items()
        }
        return tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=signature)

    tfds.dataset_builders.store_as_tfds_dataset(
        name="my_vctk",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={name: data(rows) for name, rows in splits.items()},
        data_dir=str(folder),
        disable_shuffling=not shards,
        **({"download_config": tfds.download.DownloadConfig(num_shards=shards)} if shards else {}),
    )
    return str(folder / "my_vctk" / "1.0.0")


def test_the_layout_of_vctk(tmp_path):
    rows = [
        {"id": f"utterance_{n}", "speech": sound, "text": f"sentence {n}", "speaker": n % 2}
        for n, sound in enumerate(SOUNDS)
    ]
    folder = write(
        tmp_path,
        {"train": rows[:3], "test": rows[3:]},
        id=np.str_,
        text=tfds.features.Text(),
        speaker=tfds.features.ClassLabel(names=NAMES),
    )
    found = {r.utterance: r for r in find_recordings(folder).recordings}
    assert len(found) == 5
    for n, sound in enumerate(SOUNDS):
        own = found[f"utterance_{n}"]
        assert (own.speaker, own.text) == (NAMES[n % 2], f"sentence {n}")
        assert own.split == ("train" if n < 3 else "test")
        samples, rate = decode(own.place.read(), "x")
        assert rate == RATE
        np.testing.assert_array_equal(np.round(samples * 32768), sound)


def test_a_data_set_of_several_shards_has_each_sound_with_its_own_text(tmp_path):
    """Which tensorflow-datasets reads in turn, 16 examples at a time, and a part of them not."""
    rows = [
        {"id": f"u{n}", "speech": np.full([900], n), "text": f"{n}", "speaker": n % 2}
        for n in range(150)
    ]
    folder = write(
        tmp_path,
        {"train": rows},
        shards=4,
        id=np.str_,
        text=tfds.features.Text(),
        speaker=tfds.features.ClassLabel(names=NAMES),
    )
    found = find_recordings(folder).recordings
    assert len(found) == 150
    for own in found:
        samples, _ = decode(own.place.read(), "x")
        assert own.text == f"{round(float(samples[0]) * 32768)}"
        assert own.utterance == f"u{own.text}"


def test_one_speaker_without_names(tmp_path):
    """As ljspeech: no speaker, and the text as it is read."""
    rows = [
        {"speech": sound, "text": f"No. {n}", "text_normalized": f"number {n}"}
        for n, sound in enumerate(SOUNDS[:2])
    ]
    text = tfds.features.Text()
    folder = write(tmp_path, {"train": rows}, text=text, text_normalized=text)
    found = find_recordings(folder).recordings
    assert [(r.speaker, r.utterance, r.text) for r in found] == [
        ("my_vctk", "train_000000", "number 0"),
        ("my_vctk", "train_000001", "number 1"),
    ]


def test_what_is_no_speech_is_refused(tmp_path):
    folder = write(tmp_path, {"train": [{"speech": SOUNDS[0], "label": 1}]}, label=np.int64)
    with pytest.raises(DataError, match=r"has the features .*label.*expected speech of a known"):
        find_recordings(folder)


@pytest.mark.parametrize("damage", ["shard", "info"])
def test_a_damaged_one_is_refused(damage, tmp_path):
    rows = [{"speech": sound, "text": "yes"} for sound in SOUNDS]
    folder = Path(write(tmp_path, {"train": rows}, text=tfds.features.Text()))
    if damage == "info":
        (folder / "dataset_info.json").write_text("{")
    else:
        (shard,) = folder.glob("*tfrecord*")
        shard.write_bytes(shard.read_bytes()[:-300])
    with pytest.raises(DataError, match=str(folder)):
        for recording in find_recordings(str(folder)).recordings:
            recording.place.read()
