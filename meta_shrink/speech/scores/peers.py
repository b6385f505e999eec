"""Measures by networks that others trained, where their packages are: Resemblyzer, distillmos."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from meta_shrink.errors import UsageError
from meta_shrink.speech.scores.log_mel import RATE
from meta_shrink.speech.signal import stand_in, version_teller

EXTRA = "pip install 'meta_shrink[score]'"


def resemblyzer() -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """Samples [N] at RATE of each -> embedding [256] of each, of length 1 (GE2E, Wan et al. 2018).

    Raises:
      UsageError: it is not installed, or cannot be imported.
    """
    try:
        with version_teller():
            package: Any = importlib.import_module("resemblyzer")
    except (ImportError, OSError) as error:
        raise UsageError(
            f"--verifier=resemblyzer: Resemblyzer cannot be imported ({error}): {EXTRA}."
        ) from error
    encoder = package.VoiceEncoder("cpu", verbose=False)

    def embedding(samples: np.ndarray) -> np.ndarray:
        trimmed = package.preprocess_wav(samples, RATE)
        # Its detector of speech may find none in what a vocoder said; that is heard as it is.
        return encoder.embed_utterance(trimmed if len(trimmed) else samples)

    return lambda sounds: [embedding(samples) for samples in sounds]


def distillmos() -> tuple[Callable[[np.ndarray], float] | None, str]:
    """(samples [N] at RATE -> opinion, 1 to 5; None where it cannot be imported, why)."""
    try:
        torch: Any = importlib.import_module("torch")
        # Its command line reads files by torchaudio, whose wheels load beside one torch only.
        with stand_in("torchaudio"):
            package: Any = importlib.import_module("distillmos")
    except (ImportError, OSError) as error:
        return None, f"no naturalness: distillmos cannot be imported ({error}): {EXTRA}."
    with contextlib.redirect_stdout(io.StringIO()):  # It says where its weights lie.
        network = package.ConvTransformerSQAModel().eval()

    def opinion(samples: np.ndarray) -> float:
        with torch.no_grad():
            return float(network(torch.from_numpy(np.array(samples, np.float32))[None])[0, 0])

    return opinion, ""
