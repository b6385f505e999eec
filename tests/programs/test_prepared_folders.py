"""meta-shrink prepare-data: the folder that is filled where --out does not say which."""

from __future__ import annotations

import json

import pytest

from meta_shrink.programs.places import name_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("VCTK-Corpus-0.92/", "VCTK-Corpus-0.92"),
        ("v1.2.3/", "v1.2.3"),
        ("1.0.0/", "1.0.0"),
        ("LJSpeech-1.1.tar.bz2", "LJSpeech-1.1"),
        ("train.csv", "train"),
        ("x.TGZ", "x"),
        ("voices", "voices"),
    ],
)
def test_a_folder_keeps_its_name_and_a_file_loses_its_ending(path, name, tmp_path):
    place = tmp_path / path
    place.mkdir() if path.endswith("/") else place.write_text("")
    assert name_of(str(place)) == name


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"name": "vctk", "configName": "mic1"}, "vctk-mic1"),
        ({"name": "libritts"}, "libritts"),
        ({"title": "of something else"}, "1.0.1"),
        ([], "1.0.1"),
    ],
)
def test_a_data_set_of_tensorflow_datasets_has_its_own(facts, name, tmp_path):
    folder = tmp_path / "1.0.1"
    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps(facts))
    assert name_of(str(folder)) == name
