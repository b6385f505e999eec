"""Speaks the same sentences in the voices of several methods, for launch.score_speech to compare.

  python -m benchmarks.voice_methods --voices="Reptile=backbones/reptile,adapters/reptile" \
    --voices="SEA-Emb=backbones/sea_emb,adapters/sea_emb" --like=RECORDINGS --out=spoken
  python -m launch.score_speech --real=REAL --spoken=Reptile=spoken/Reptile \
    --spoken=SEA-Emb=spoken/SEA-Emb --corpus=data/speech --copy_synthesis --out=scores

RECORDINGS are SPEAKER/UTTERANCE.flac with a .txt beside each: whose timing and melody are spoken,
with one noise for all methods, as launch.synthesize --like does, but in one process. ADAPTERS is
what launch.enroll wrote, its names those of the speakers; "-" is the backbone's own voice.
"""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext

from meta_shrink import AdapterBank, Backbone
from meta_shrink.adapters.reading import Adapter
from meta_shrink.enrolment.speaking import features_of, spoken, write_wav
from meta_shrink.training.distribution import set_cpu_threads

OWN = "-"


def main() -> None:
    """Speak what is not there yet."""
    given = arguments()
    set_cpu_threads(cpu_threads=1)
    for name, (folder, adapters) in given.voices:
        backbone = Backbone.load(folder)
        bank = None if adapters == OWN else AdapterBank(backbone, adapters)
        for speaker in sorted(os.listdir(given.like)):
            own = nullcontext(backbone.default) if bank is None else bank.pinned(speaker)
            with own as adapter:
                say(backbone, adapter, speaker, os.path.join(given.out, name, speaker), given)


def arguments() -> argparse.Namespace:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voices", type=voices, action="append", required=True)
    parser.add_argument("--like", required=True, help="folder of SPEAKER/UTTERANCE.flac and .txt")
    parser.add_argument("--out", required=True, help="folder of NAME/SPEAKER/UTTERANCE.wav")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the draws")
    return parser.parse_args()


def voices(text: str) -> tuple[str, tuple[str, str]]:
    """NAME=BACKBONE,ADAPTERS."""
    name, _, places = text.partition("=")
    backbone, comma, adapters = places.partition(",")
    if not (name and backbone and comma and adapters):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=BACKBONE,ADAPTERS")
    return name, (backbone, adapters)


def say(
    backbone: Backbone, adapter: Adapter, speaker: str, out: str, given: argparse.Namespace
) -> None:
    """The sentences of a speaker that are not in `out`."""
    os.makedirs(out, exist_ok=True)
    like = os.path.join(given.like, speaker)
    for file in sorted(name for name in os.listdir(like) if name.endswith(".flac")):
        path = os.path.join(out, f"{os.path.splitext(file)[0]}.wav")
        if os.path.exists(path):
            continue
        features = features_of(os.path.join(like, file), "", backbone.info)
        samples, rate = spoken(backbone, adapter, features, temperature=given.temperature)
        write_wav(path, samples, rate)
        print(f"{path}: {len(samples) / rate:.1f} s", flush=True)


if __name__ == "__main__":
    main()
