"""Our own verifier, trained once for a corpus and kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from meta_shrink.durable_files import check_writable, read_file, write_atomically
from meta_shrink.errors import ArtefactError, DataError, UsageError, unwritable
from meta_shrink.images.classes import hash_order
from meta_shrink.speech.corpus import Speaker, read_speakers
from meta_shrink.speech.scores.log_mel import RATE, loud_log_mel
from meta_shrink.speech.scores.noise import noisy
from meta_shrink.speech.scores.similarity import equal_error_rate, to_others, to_own
from meta_shrink.speech.scores.verifier import SETTINGS, Verifier, network, train
from meta_shrink.speech.signal import resample

FORMAT = "meta_shrink verifier 1"
LEAST_SPEAKERS, HELD_OUT_SHARE = 8, 6  # One of six is held out for the error rate.
_FACTS = "facts"


def own_verifier(
    corpus: str | None,
    path: str | None,
    scored: Collection[str],
    log: Callable[[str], Any] = print,
) -> Verifier:
    """The verifier of a file, trained on a corpus first where there is no such file.

    Neither the corpus's test speakers nor those that are scored are trained on.

    Args:
      corpus: a folder of prepare_speech. path: of the file; None: one in the corpus.
      scored: names of speakers.

    Raises:
      UsageError: nothing is named, or the file is of another corpus or cannot be written.
      ArtefactError: the file is no verifier. DataError: the corpus is none, or has few speakers.
    """
    require_source(corpus, path)
    if corpus is None:
        return _unknown_to(read_verifier(str(path)), str(path), scored)
    speakers = [
        speaker
        for speaker in read_speakers(corpus)
        if speaker.split != "test" and speaker.name not in scored
    ]
    digest = _digest(speakers)
    path = path or os.path.join(corpus, f"verifier-{digest[:12]}.safetensors")
    if os.path.exists(path):
        verifier = read_verifier(path)
        if verifier.facts["corpus"] != digest:
            raise UsageError(
                f"{path} was trained on other speakers than those of {corpus} that are neither "
                "scored nor of its test split: leave --corpus out to use it as it is, or name "
                "another file."
            )
        log(_told(path, verifier))
        return verifier
    verifier = _trained(speakers, corpus, path, log)
    log(_told(path, verifier))
    return verifier


def require_source(corpus: str | None, path: str | None) -> None:
    """Refuse early, with a UsageError, what own_verifier would: neither a corpus nor a file."""
    if corpus is None and (path is None or not os.path.exists(path)):
        raise UsageError(
            f"There is no verifier {path or 'file'}: --corpus names the prepared speech that one "
            "is trained on, --verifier_file a file that has one."
        )


def read_verifier(path: str) -> Verifier:
    """A verifier that own_verifier wrote.

    Raises:
      ArtefactError: it is none.
    """
    try:
        arrays = safetensors.numpy.load(read_file(path))
        facts = json.loads(arrays.pop(_FACTS).tobytes())
        if facts["format"] != FORMAT or facts["settings"] != SETTINGS:
            raise ValueError("it is of another version")
        model = network()
        model.set_weights([arrays[name] for name in sorted(arrays)])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{path} is no verifier of this version ({error}): remove it, and --corpus trains one."
        ) from error
    return Verifier(model, facts)


def write_verifier(path: str, verifier: Verifier) -> None:
    """Writes it, whole or not at all.

    Raises:
      UsageError, DiskError: it cannot be written.
    """
    weights = enumerate(verifier.network.get_weights())
    arrays = {f"{n:03}": np.ascontiguousarray(w) for n, w in weights}
    arrays[_FACTS] = np.frombuffer(json.dumps(verifier.facts).encode(), np.uint8)
    try:
        write_atomically(path, safetensors.numpy.save(arrays))
    except OSError as error:
        raise unwritable(path, error) from error


def _trained(
    speakers: Sequence[Speaker], corpus: str, path: str, log: Callable[[str], Any]
) -> Verifier:
    if len(speakers) < LEAST_SPEAKERS:
        raise DataError(
            f"{corpus} has {len(speakers)} speakers that are neither scored nor of its test split; "
            f"a verifier needs {LEAST_SPEAKERS} or more."
        )
    folder = os.path.dirname(os.path.abspath(path))
    try:
        check_writable(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    clean = {one.name: _log_mels(one, lambda x: x) for one in speakers}
    if silent := [name for name, own in clean.items() if len(own) < 2]:
        raise DataError(f"{corpus} has too little speech of {', '.join(silent[:5])}.")
    chance = np.random.default_rng(SETTINGS["seed"])
    copies = [
        {one.name: _log_mels(one, lambda x: noisy(x, chance)) for one in speakers}
        for _ in range(SETTINGS["noisy"])
    ]
    order = hash_order(clean, "verifier")
    apart = sorted(order[: max(len(order) // HELD_OUT_SHARE, 2)])
    names = [name for name in clean if name not in apart]
    log(f"training a verifier on {len(names)} speakers; {len(apart)} are held out")
    heard = [[mel for kind in (clean, *copies) for mel in kind[name].values()] for name in names]
    verifier = Verifier(train(heard), {})
    vectors, in_noise = (_vectors(verifier, kind, apart) for kind in (clean, copies[0]))
    others = to_others(vectors)
    facts = {
        "format": FORMAT,
        "settings": SETTINGS,
        "corpus": _digest(speakers),
        "trained_on": names,
        "held_out": apart,
        "equal_error_rate": equal_error_rate(to_own(vectors, vectors), others),
        "equal_error_rate_in_noise": equal_error_rate(to_own(in_noise, vectors), others),
    }
    write_verifier(path, Verifier(verifier.network, facts))
    return Verifier(verifier.network, facts)


def _vectors(
    verifier: Verifier, heard: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Of each utterance of these speakers."""
    return {
        name: dict(zip(own, verifier.embed(list(own.values())), strict=True))
        for name in names
        if (own := heard[name])
    }


def _log_mels(
    speaker: Speaker, changed: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Of the utterances that are long enough, after a change of their samples."""
    found = {}
    for utterance in speaker.utterances:
        samples = resample(speaker.sound(utterance), speaker.sample_rate, RATE)
        try:
            found[utterance.name] = loud_log_mel(changed(samples))
        except DataError:  # A corpus has short ones; there are others.
            continue
    return found


def _unknown_to(verifier: Verifier, path: str, scored: Collection[str]) -> Verifier:
    """The verifier, unless it was trained on speakers that are scored."""
    if known := sorted(set(scored) & set(verifier.facts["trained_on"])):
        raise DataError(
            f"{path} was trained on {', '.join(known[:5])}, who would be told apart better than "
            "others: score other speakers, or train a verifier without them (--corpus)."
        )
    return verifier


def _told(path: str, verifier: Verifier) -> str:
    facts = verifier.facts
    return (
        f"verifier {path}: equal error rate {facts['equal_error_rate']:.1%} on "
        f"{len(facts['held_out'])} speakers that it was not trained on, "
        f"{facts['equal_error_rate_in_noise']:.1%} in noise"
    )


def _digest(speakers: Sequence[Speaker]) -> str:
    """SHA-256 of what a verifier is trained on, and how."""
    content = [FORMAT, SETTINGS, [(one.name, one.about["sha256"]) for one in speakers]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
