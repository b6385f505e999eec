"""WaveNet (Fig. 12): the next sample of a voice, from those before it and from the text.

Each of a cycle's ten blocks doubles the dilation, 1 to 512: an output hears its own code and 1,023
before it for each cycle.

Modules are layers: `input`, `input_skip`, then `dilated`, `condition`, `skip`, `residual` of
block_00, block_01, ..., then `output_1`, `output_2`; `module_order` has them in this order. Three
cycles have 123, as the last block has no residual layer.
"""

from __future__ import annotations

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.seeds import first_seed
from meta_shrink.models.wavenet_layers import (
    CODES,
    Codes,
    Dilated,
    Embedding,
    Gate,
    PeriodAgo,
    Pointwise,
)
from meta_shrink.pitch import LONGEST_HOP

DILATIONS = tuple(2**power for power in range(10))


def wavenet(
    *,
    seed: int,
    samples: int,
    frames: int,
    features: int,
    channels: int,
    gate: int = 0,
    skip: int = 0,
    cycles: int = 3,
    speakers: int = 0,
    speaker_channels: int = 16,
    products: int = 1,
    pitch_blocks: int = 0,
) -> keras.Model:
    """[codes [N, T], features [N, F, C]] -> logits [N, T, 256] of the sample after each code.

    Args:
      seed: of the initial weights (Glorot uniform); biases start at 0.
      samples, frames, features, cycles: T, F and C; T is a multiple of F; cycles of ten blocks.
      channels, gate, skip: of the residual path, a half of the gate, the skip path; 0: the first.
      speakers, speaker_channels: a network of many voices has a third input, the number of the
        speaker [N], its vector in a module `speaker`, and a module `speaker` more a block.
      products: a dilated convolution is 1 or 2 matrix products, or (0) TensorFlow's own.
      pitch_blocks: so many first dilated layers also hear their input one pitch period before the
        sample to come, by a third tap (as in QPNet, Wu et al. 2019, arXiv:1907.00797); paper: 0.

    Raises:
      UsageError: sizes or pitch_blocks that fit nothing.
    """
    gate, skip, seed = gate or channels, skip or channels, first_seed(seed)
    _check(samples, frames, products, features, channels, gate, skip, cycles, speaker_channels)
    blocks = len(DILATIONS) * cycles
    _check_pitch(pitch_blocks, blocks, features, samples // frames)
    codes = keras.Input((samples,), name="codes", dtype="int32")
    told = [keras.Input((frames, features), name="features")]
    if speakers:
        told.append(keras.Input((), name="speaker_number", dtype="int32"))
    voice = [Embedding(speakers, speaker_channels, seed + 4, name="speaker")(n) for n in told[1:]]
    ago = [PeriodAgo(samples // frames, name="period_ago")(told[0])] if pitch_blocks else []
    path = Codes(channels, seed, name="input")(codes)
    total = Pointwise(skip, seed + 1, name="input_skip")(path)
    sizes = channels, gate, skip, products
    for block in range(blocks):
        heard = [path, *ago] if block < pitch_blocks else [path]
        path, more = _block(heard, [told[0], *voice], block, seed, sizes, last=blocks - 1 == block)
        total = total + more
    model = keras.Model([codes, *told], _logits(total, skip, seed), name="wavenet")
    model.module_order = tuple(module_order(blocks, voiced=bool(speakers)))
    return model


def _logits(total, skip: int, seed: int):
    """The two output layers."""
    hidden = Pointwise(skip, seed + 2, name="output_1")(keras.ops.relu(total))
    return Pointwise(CODES, seed + 3, name="output_2")(keras.ops.relu(hidden))


def _block(heard, told, block: int, seed: int, sizes: tuple[int, ...], *, last: bool):
    """(what goes on along the path, what goes to the outputs) of a residual block.

    heard: the path, and perhaps where it is heard a pitch period ago. told: the features and
    perhaps the voice. sizes: channels, gate, skip, products.
    """
    (channels, gate, skip, products), own = sizes, seed + 10 + 5 * block
    name, dilation, path = f"block_{block:02}", DILATIONS[block % len(DILATIONS)], heard[0]
    dilated = Dilated(2 * gate, dilation, own, products=products, name=f"{name}_dilated")
    x = dilated(heard if len(heard) > 1 else path)
    kinds = ("condition", own + 1), ("speaker", own + 4)
    conditions = [
        Pointwise(2 * gate, number, name=f"{name}_{kind}")(source)
        for source, (kind, number) in zip(told, kinds, strict=False)
    ]
    z = Gate(name=f"{name}_gate")([x, *conditions])
    more = Pointwise(skip, own + 2, name=f"{name}_skip")(z)
    if not last:
        path = path + Pointwise(channels, own + 3, name=f"{name}_residual")(z)
    return path, more


def module_order(blocks: int, *, voiced: bool) -> list[str]:
    """Names of the layers that have parameters, from the input to the output."""
    parts = ["dilated", "condition", *(["speaker"] if voiced else []), "skip", "residual"]
    names = [f"block_{block:02}_{part}" for block in range(blocks) for part in parts]
    ends = ["speaker"] if voiced else []
    return [*ends, "input", "input_skip", *names[:-1], "output_1", "output_2"]


def _check(samples: int, frames: int, products: int, *sizes: int) -> None:
    if min(samples, frames, *sizes) < 1 or samples % frames or products not in (0, 1, 2):
        raise UsageError(
            f"wavenet got samples={samples}, frames={frames}, products={products} and the sizes "
            f"{', '.join(map(str, sizes))}; expected positive sizes, samples a multiple of frames, "
            "0, 1 or 2 products."
        )


def _check_pitch(pitch_blocks: int, blocks: int, features: int, hop: int) -> None:
    if pitch_blocks and hop > LONGEST_HOP:
        raise UsageError(
            f"wavenet got pitch_blocks={pitch_blocks} and {hop} samples a frame; a pitch period is "
            f"heard where a frame has at most {LONGEST_HOP} (30.8 kHz). Set pitch_blocks to 0, or "
            "prepare the data with a lower --sample_rate."
        )
    if not 0 <= pitch_blocks <= blocks or (pitch_blocks and features < 2):
        raise UsageError(
            f"wavenet got pitch_blocks={pitch_blocks} with {blocks} blocks and {features} "
            "features; expected at most as many as there are blocks, and features that end in "
            "voiced and log_f0."
        )
