"""What a sound looks like: its level by time and frequency."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_shrink.durable_files import write_atomically
from meta_shrink.errors import unwritable

WINDOW_SECONDS, STEP_SECONDS, RANGE_DB = 0.025, 0.005, 70.0


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """[window // 2 + 1, T] dB below the loudest, of Hann windows of 25 ms every 5 ms."""
    size, step = round(WINDOW_SECONDS * rate), round(STEP_SECONDS * rate)
    padded = np.pad(np.asarray(samples, np.float64), (size // 2, size))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) : step]
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1).T) ** 2
    return 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-20))


def show_levels(place: Axes, samples: np.ndarray, rate: int) -> None:
    """Draw `levels` over seconds and kHz."""
    place.imshow(
        levels(samples, rate), origin="lower", aspect="auto", cmap="magma", vmin=-RANGE_DB, vmax=0,
        extent=(0, len(samples) / rate, 0, rate / 2000),
    )  # fmt: skip


def save_spectrogram(samples: np.ndarray, rate: int, path: str) -> None:
    """Write a PNG of `levels` above the wave itself.

    Raises:
      UsageError, DiskError: it cannot be written.
    """
    seconds = len(samples) / rate
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    show_levels(above, samples, rate)
    above.set_ylabel("frequency (kHz)")
    below.plot(np.arange(len(samples)) / rate, samples, linewidth=0.4, color="#1A1A1A")
    below.set(xlabel="time (s)", ylabel="sample", xlim=(0, seconds), ylim=(-1, 1))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120, metadata={"Software": None})
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise unwritable(path, error) from error
