"""What a network of prosody knows of held-out speakers, beside means.

python -m benchmarks.prosody --backbone=backbones/prosody --data=data/speech

The validation utterances of each held-out speaker, by the network as it is and adapted to the
speaker's other utterances, by the backbone's recipe. The controls are the mean log duration of each
phone over the training speakers (of the speaker's own, where they have said it at least five times)
and the mean log pitch of the training speakers (of the speaker). 95 % over speakers.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from meta_shrink.backbones.loaded import Backbone
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import fitted_examples
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.speech.corpus import read_speakers
from meta_shrink.speech.features import PHONES
from meta_shrink.speech.prosody import POINTS
from meta_shrink.tasks.example_arrays import INPUTS, TARGETS, Arrays, TaskExamples
from meta_shrink.tasks.prosody import examples_of
from meta_shrink.tasks.speech import split_speakers

FEWEST = 5
MEASURES = ("log duration, RMS", "pitch, RMS semitones", "voicing, % wrong")


def main() -> None:
    """Measure; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True, help="folder of export-backbone")
    parser.add_argument("--data", default="data/speech", help="the prepared folder")
    parser.add_argument("--steps", type=int, default=0, help="of adaptation; 0: as the backbone")
    given, started = parser.parse_args(), time.process_time()
    backbone = Backbone.load(given.backbone)
    own, held = (
        [examples_of(speaker, 0.2, "0") for speaker in part]
        for part in split_speakers(read_speakers(given.data), 10, "0")
    )
    everyone = {
        name: np.concatenate([speaker.train[name] for speaker in own]) for name in (INPUTS, TARGETS)
    }
    rows: dict[str, list] = {}
    for speaker in held:
        for name, said in predictions(backbone, speaker, everyone, given.steps).items():
            rows.setdefault(name, []).append(errors(said, speaker.heldout[TARGETS]))
    rows["adapted less mean of the speaker"] = list(
        np.array(rows["network, adapted"]) - rows["mean of the phone, of the speaker"]
    )
    print(f"| | {' | '.join(MEASURES)} |\n|---|{'---|' * len(MEASURES)}")
    for name, found in rows.items():
        print(f"| {name} | {' | '.join(cells(np.array(found)))} |")
    print(f"{len(held)} speakers, {time.process_time() - started:.0f} processor seconds")


def cells(values: np.ndarray) -> list[str]:
    """Mean and 95 % of each column."""
    return [f"{m:.3g} ± {s:.2g}" for m, s in zip(*mean_and_ci95(values), strict=True)]


def predictions(
    backbone: Backbone, speaker: TaskExamples, everyone: Arrays, steps: int
) -> dict[str, np.ndarray]:
    """What each says of the speaker's validation phones: {name: [N, TARGETS]}."""
    (name,) = (spec.name for spec in backbone.info.inputs)
    inputs = {name: speaker.heldout[INPUTS]}
    adapt = TaskAdaptation(backbone)
    arrays = {name: speaker.train[INPUTS], TARGETS: speaker.train[TARGETS]}
    train = fitted_examples(arrays, backbone.info)
    adapted = adapt(train, steps=steps or adapt.steps)
    phones = phones_of(speaker.heldout[INPUTS])
    shared = means(everyone, phones)
    return {
        "mean of the phone, of all": shared,
        "mean of the phone, of the speaker": means(speaker.train, phones, shared),
        "network": only(backbone.serve(inputs, backbone.default.tensors)),
        "network, adapted": only(backbone.serve(inputs, adapted.tensors)),
    }


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The one output."""
    (value,) = outputs.values()
    return value


def phones_of(inputs: np.ndarray) -> np.ndarray:
    """The phone that each row is of."""
    return inputs[:, 2 * len(PHONES) : 3 * len(PHONES)].argmax(1)


def means(data: Arrays, phones: np.ndarray, otherwise: np.ndarray | None = None) -> np.ndarray:
    """[N, TARGETS]: the mean duration and commonest voicing of each phone, the mean log pitch."""
    numbers, targets = phones_of(data[INPUTS]), data[TARGETS]
    voiced, log_f0 = targets[:, 1 : 1 + POINTS] > 0, targets[:, 1 + POINTS :]
    table = np.zeros([len(PHONES), targets.shape[1]])
    for phone in range(len(PHONES)):
        own = targets[numbers == phone]
        if len(own) >= FEWEST:
            table[phone, : 1 + POINTS] = own[:, : 1 + POINTS].mean(axis=0)
            table[phone, 1 : 1 + POINTS] -= 0.5
        elif otherwise is not None and (phones == phone).any():
            table[phone] = otherwise[phones == phone][0]
    table[:, 1 + POINTS :] = log_f0[voiced].mean()
    return table[phones]


def errors(said: np.ndarray, targets: np.ndarray) -> tuple[float, ...]:
    """MEASURES."""
    voiced = targets[:, 1 : 1 + POINTS] > 0
    pitch = (said - targets)[:, 1 + POINTS :][voiced] * 12 / math.log(2)
    return (
        float(np.sqrt(np.square(said[:, 0] - targets[:, 0]).mean())),
        float(np.sqrt(np.square(pitch).mean())),
        float(100 * ((said[:, 1 : 1 + POINTS] > 0) != voiced).mean()),
    )


if __name__ == "__main__":
    main()
