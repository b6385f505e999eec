"""What is to be spoken, as a request says it.

{"features": [[...], ...]}, frames by numbers, or {"like": base64 of a sound file, "text": its
words, "shift": semitones}, or {"text": what is said, "shift": semitones}; beside any of them
"temperature" (1.0), "seed" (0) and "stream" (false).
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import UsageError
from meta_shrink.serving.json_cursor import JsonCursor, json_told
from meta_shrink.serving.protocol import ServedVoices
from meta_shrink.serving.rows import as_input

_NUMBERS = {"temperature": 1.0, "shift": 0.0}
_KEYS = ("features", "like", "text", "seed", "stream", *_NUMBERS)


class SpeechLimits(NamedTuple):
    """max_voices: utterances at a time. max_text: characters. max_seconds: of sound, in and out."""

    max_voices: int = 8
    max_text: int = 1000
    max_seconds: float = 30.0


class SpeechRequest(NamedTuple):
    """Checked features [F, C]; how they are spoken, and answered."""

    features: np.ndarray
    seed: int
    temperature: float
    stream: bool


def parse_speech(
    body: bytes | bytearray, voices: ServedVoices, limits: SpeechLimits
) -> SpeechRequest:
    """What a request wants to hear.

    Raises:
      UsageError: it is not as the docstring above says, or is more than the limits allow.
    """
    with json_told():
        cursor = JsonCursor(body)
        found = _parse(cursor)
    temperature, shift = (_number(found, name) for name in _NUMBERS)
    if not 0 <= temperature <= 10:
        raise UsageError(f'"temperature" is {temperature:g}; expected 0 to 10.')
    seed, stream = found.get("seed", 0), found.get("stream", False)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise UsageError('"seed" has to be a whole number, at least 0 and less than 2^63.')
    if type(stream) is not bool:
        raise UsageError('"stream" has to be true or false.')
    return SpeechRequest(_features(found, voices, limits, shift), seed, temperature, stream)


def _parse(cursor: JsonCursor) -> dict[str, Any]:
    if cursor.peek() != "{":
        raise _no_form()
    found = {}
    for key in cursor.names():
        if key not in _KEYS:
            raise UsageError(f"The request has the unknown key {key[:64]!r}.")
        found[key] = cursor.value()
    cursor.expect_end()
    if not found.keys() & {"features", "like", "text"} or found.keys() >= {"features", "like"}:
        raise _no_form()
    if "features" in found and (extra := {"text", "shift"} & found.keys()):
        raise UsageError(f'{sorted(extra)[0]!r} belongs to "like": "features" say it already.')
    return found


def _no_form() -> UsageError:
    return UsageError(
        'The request has to be an object with either "features" or "like", or "text" alone.'
    )


def _number(found: dict[str, Any], name: str) -> float:
    value = found.get(name, _NUMBERS[name])
    if type(value) not in (int, float) or abs(value) > 1e6:
        raise UsageError(f'"{name}" has to be a number.')
    return float(value)


def _features(
    found: dict[str, Any], voices: ServedVoices, limits: SpeechLimits, shift: float
) -> np.ndarray:
    if "features" not in found:
        return _told(found, voices, limits, shift)
    features = as_input(voices.features, found["features"])
    seconds = len(features) / voices.frames_per_second
    if seconds > limits.max_seconds:
        raise UsageError(
            f'"features" are {seconds:g} s of sound; expected {limits.max_seconds:g} s at most.'
        )
    return features


def _told(
    found: dict[str, Any], voices: ServedVoices, limits: SpeechLimits, shift: float
) -> np.ndarray:
    text, options = found.get("text", ""), {"shift": shift, "max_seconds": limits.max_seconds}
    if not isinstance(text, str) or not text.strip():
        what = '"like" needs "text", the' if "like" in found else '"text" needs'
        raise UsageError(f"{what} words that are said in it.")
    if len(text) > limits.max_text:
        raise UsageError(f'"text" has {len(text)} characters; expected {limits.max_text} at most.')
    if "like" not in found:
        return voices.say(text, **options)
    try:
        sound = base64.b64decode(found["like"], validate=True)
    except (TypeError, ValueError):
        raise UsageError('"like" has to be the base64 of a sound file.') from None
    return voices.like(sound, text, **options)
