"""Voices scored by the program: real above copies above a buzz; what is wrong is named."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import ArtefactError, DataError, UsageError
from meta_shrink.reporting.voice_scores import score_table
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.scores import verifier, verifier_file
from meta_shrink.speech.scores.compared import COPY, OTHERS, REAL, all_sounds
from meta_shrink.speech.scores.intelligibility import text_score
from meta_shrink.speech.scores.similarity import cosine
from meta_shrink.speech.scores.verifier_file import own_verifier, read_verifier
from tests.speech.real_voices import RATE, buzz, recordings, said_by
from tests.speech.samples import humming, prepared_folder
from tests.system.test_programs import run

if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "pyworld")):
    pytest.skip("needs the extra speech", allow_module_level=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return recordings(tmp_path_factory.mktemp("real"), 2)


@pytest.fixture(scope="module")
def buzzing(tmp_path_factory, real) -> Path:
    return said_by(buzz, real, tmp_path_factory.mktemp("buzz"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """Nine speakers who are tones of different pitch, and one of the test split."""
    return prepared_folder(tmp_path_factory.mktemp("corpus"), [humming(n) for n in range(10)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, corpus) -> Path:
    """The file of a verifier of few steps, with what was told."""
    path = tmp_path_factory.mktemp("verifier") / "verifier.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(verifier.SETTINGS, "steps", 30)
        said: list[str] = []
        own_verifier(corpus, str(path), {"s3"}, said.append)
        assert "held out" in said[0] and "equal error rate" in said[1]
        facts = read_verifier(str(path)).facts
    assert {*facts["trained_on"], *facts["held_out"]} == {f"s{n}" for n in range(9)} - {"s3"}
    return path


@pytest.fixture(scope="module")
def known(trained) -> Path:
    """The same as if it had the usual number of steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(verifier.SETTINGS, "steps", 30)
        own = read_verifier(str(trained))
    facts = dict(own.facts) | {"settings": dict(verifier.SETTINGS)}
    path = trained.with_name("known.safetensors")
    verifier_file.write_verifier(str(path), own._replace(facts=facts))
    return path


@pytest.mark.programs
def test_the_program(real, buzzing, known, tmp_path):
    arguments = [f"--real={real}", f"--spoken=buzz={buzzing}", f"--verifier_file={known}"]
    out = tmp_path / "scores"
    done = run("score_speech", *arguments, "--copy_synthesis", f"--out={out}")
    assert {path.name for path in out.iterdir()} == {"scores.md", "scores.png", "scores.json"}
    found = json.loads((out / "scores.json").read_text())
    rows = found["compared"]
    assert list(rows) == [REAL, "buzz", COPY, OTHERS]
    order = [REAL, COPY, "buzz"]
    heard = [rows[name]["intelligibility"]["mean"] for name in order]
    assert min(heard[:2]) > 0.5 > 0.3 > heard[2]  # A copy by WORLD is heard as well as the real.
    speaker = min(path.name for path in real.iterdir())
    paths = sorted((real / speaker).glob("*.wav"))
    listener = read_verifier(str(known))
    first, *others = listener.hear([load(p.read_bytes(), p.name, RATE) for p in paths])
    (said,) = listener.hear([load((buzzing / speaker / paths[0].name).read_bytes(), "", RATE)])
    for name, vector in ((REAL, first), ("buzz", said)):
        value = rows[name]["similarity"]["values"][speaker][paths[0].stem]
        assert value == pytest.approx(cosine(vector, others[0] + others[1]), abs=1e-5)
    page = (out / "scores.md").read_text()
    for row in score_table(found).rows:
        assert all(cell in page and cell in done.stdout for cell in row)
    assert "scores.png" in page and "equal error rate" in page
    if not importlib.util.find_spec("distillmos"):
        assert "pip install 'meta_shrink[score]'" in done.stdout and "naturalness |" not in page


def test_a_wrong_text_fits_less(real):
    paths = sorted(real.glob("*/*.wav"))
    texts = [path.with_suffix(".txt").read_text() for path in paths]
    for number, path in enumerate(paths):
        samples = load(path.read_bytes(), path.name, RATE)
        wrong = text_score(samples, RATE, texts[number - 1], {})
        assert text_score(samples, RATE, texts[number], {}) > wrong + 0.15


def test_other_rates_and_folders_are_read_and_texts_come_by_name(real, tmp_path):
    spoken = said_by(lambda samples: samples, real, tmp_path / "spoken", rate=24_000)
    sounds, _ = all_sounds(str(real), {"spoken": str(spoken)})
    for speaker, own in sounds[REAL].items():
        for name, sound in own.items():
            other = sounds["spoken"][speaker][name]
            assert other.text == sound.text
            assert np.corrcoef(other.samples, sound.samples)[0, 1] > 0.999


def _copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place))


def test_speakers_must_be_the_same(real, buzzing, tmp_path):
    first, second = sorted(path.name for path in real.iterdir())
    spoken = _copied(buzzing, tmp_path / "spoken")
    (spoken / first).rename(spoken / "nobody")
    for path in (spoken / "nobody").glob("*.wav"):
        path.with_suffix(".txt").write_text("hello there")
    with pytest.raises(DataError, match=f"spoken lacks {first} and has nobody, of whom"):
        all_sounds(str(real), {"spoken": str(spoken)})
    alone = _copied(real, tmp_path / "alone")
    shutil.rmtree(alone / second)
    with pytest.raises(DataError, match="are of 1 speakers"):
        all_sounds(str(alone), {})
    few = _copied(real, tmp_path / "few")
    for path in sorted((few / second).glob("*.wav"))[1:]:
        path.unlink()
    with pytest.raises(DataError, match=f"there is one of {second}"):
        all_sounds(str(few), {})


def test_sounds_that_cannot_be_scored_are_named(real, buzzing, tmp_path):
    spoken = _copied(buzzing, tmp_path / "spoken")
    cut, silent, *_ = sorted(spoken.glob("*/*.wav"))
    cut.write_bytes(cut.read_bytes()[:20])
    said_by(np.zeros_like, real, tmp_path / "silent")
    shutil.copy(tmp_path / "silent" / silent.parent.name / silent.name, silent)
    with pytest.raises(DataError, match="2 of 6 recordings of spoken") as told:
        all_sounds(str(real), {"spoken": str(spoken)})
    assert cut.stem in str(told.value) and f"{silent.stem}: it has 0.00 s" in str(told.value)
    stray = spoken / "somebody" / "new.wav"
    stray.parent.mkdir()
    shutil.copy(min(real.glob("*/*.wav")), stray)
    with pytest.raises(DataError, match=r"new\.wav of .*: what does it say\?"):
        all_sounds(str(real), {"spoken": str(spoken)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no recordings"):
        all_sounds(str(real), {"spoken": str(tmp_path / "empty")})
    with pytest.raises(UsageError, match="a row of its own"):
        all_sounds(str(real), {REAL: str(spoken)})


def test_every_sound_that_is_given_is_scored_or_refused(real, buzzing, tmp_path):
    spoken = _copied(buzzing, tmp_path / "spoken")
    one = min(spoken.glob("*/*.wav"))
    expected = {
        path.relative_to(spoken).with_suffix("").as_posix() for path in spoken.rglob("*.wav")
    }

    def scored(source: Path) -> set[str]:
        sounds, _ = all_sounds(str(real), {"spoken": str(source)})
        return {f"{speaker}/{name}" for speaker, own in sounds["spoken"].items() for name in own}

    with tarfile.open(tmp_path / "spoken.tar", "w") as archive:
        archive.add(spoken, ".")
    assert scored(tmp_path / "spoken.tar") == expected
    apart = _copied(spoken, tmp_path / "apart")
    upper = apart / one.relative_to(spoken)
    upper.rename(upper.with_suffix(".WAV"))
    assert scored(apart) == expected
    with tarfile.open(apart / "more.tar", "w") as archive:
        archive.add(one, one.relative_to(spoken))
    upper.with_suffix(".WAV").unlink()
    assert scored(apart) == expected
    upper.with_suffix(".mp3").write_bytes(b"not read")
    with pytest.raises(DataError, match=rf"{one.stem}\.mp3 of .* is none of \.flac, \.wav, \.ogg"):
        scored(apart)
    upper.with_suffix(".mp3").rename(apart / "more.zip")
    with pytest.raises(DataError, match=r"more\.zip of .* is not read: unpack it"):
        scored(apart)
    one.with_suffix(".txt").write_text("hello there")
    with pytest.raises(DataError, match=f"{one.stem} of spoken has the text 'hello there', and"):
        scored(spoken)
    same = (real / one.relative_to(spoken)).with_suffix(".txt").read_text()
    one.with_suffix(".txt").write_text(f"{same.capitalize()}.")
    assert scored(spoken) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--spoken=DIR"], 2, "expected NAME=DIR"),
        (["--spoken=a=x", "--spoken=a=y"], 2, "a is there twice"),
        (["--verifier=resemblyzer", "--corpus=c"], 2, "are of --verifier=own alone"),
        (["--spoken=a="], 2, "expected NAME=DIR"),
        (["--real=nowhere", "--corpus=c"], 3, "nowhere does not exist"),
        ([], 2, "There is no verifier file: --corpus names the prepared speech"),
    ],
)
def test_wrong_flags_are_told_and_nothing_is_written(tmp_path, arguments, code, told):
    given = [f"--out={tmp_path / 'scores'}", *arguments]
    given += [] if "--real=nowhere" in arguments else [f"--real={tmp_path}"]
    assert told in run("score_speech", *given, code=code).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_verifier_is_kept_and_refused_where_it_does_not_fit(corpus, trained, tmp_path):
    with pytest.raises(UsageError, match="--corpus names the prepared speech"):
        own_verifier(None, str(tmp_path / "none"), ())
    with pytest.raises(ArtefactError, match="another version"):  # Of other steps.
        own_verifier(None, str(trained), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(verifier.SETTINGS, "steps", 30)
        before = trained.read_bytes()
        own_verifier(corpus, str(trained), {"s3"}, lambda _: None)
        assert trained.read_bytes() == before
        with pytest.raises(UsageError, match="was trained on other speakers"):
            own_verifier(corpus, str(trained), {"s4"})
        someone = read_verifier(str(trained)).facts["trained_on"][0]
        with pytest.raises(DataError, match=f"was trained on {someone}, who"):
            own_verifier(None, str(trained), {someone})
        with pytest.raises(DataError, match="a verifier needs 8"):
            own_verifier(corpus, str(tmp_path / "new"), {"s3", "s4"})
    broken = tmp_path / "broken"
    broken.write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match="is no verifier"):
        own_verifier(None, str(broken), ())
