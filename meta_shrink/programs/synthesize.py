"""Say a recording's words, with its timing and melody, in an enrolled voice.

  meta-shrink synthesize --backbone=backbones/voices --adapter=adapters/ID.safetensors \
      --like=hello.wav --text="hello there" --out=spoken.wav

--like gives phones, durations and pitch; its words are --text, or what the .txt of its name has.
--shift moves the pitch by semitones towards the voice. Without --adapter, the backbone itself
speaks. --out is a WAV file, written when it is whole; a picture of its spectrogram is beside it.
"""

import os

from absl import flags

from meta_shrink.programs import cli

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
ADAPTER = flags.DEFINE_string("adapter", None, "File of enroll; none: the backbone's own voice.")
LIKE = flags.DEFINE_string("like", None, "A recording (.flac, .wav, .ogg).", required=True)
TEXT = flags.DEFINE_string("text", "", "What it says; by default what the .txt beside it has.")
OUT = flags.DEFINE_string("out", None, "The WAV file to write.", required=True)
SHIFT = flags.DEFINE_float("shift", 0.0, "Semitones that the pitch goes up or (below 0) down.")
TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Below 1 is less noise; 0 takes the likeliest sample.", 0.0, 10.0
)
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", 0)


def main(argv):
    """Speak; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.backbones.loaded import Backbone
    from meta_shrink.enrolment.speaking import features_of, spoken, write_wav
    from meta_shrink.reporting.spectrogram import save_spectrogram

    cli.no_arguments(argv)
    backbone = Backbone.load(BACKBONE.value)
    adapter = backbone.load_adapter(ADAPTER.value) if ADAPTER.value else backbone.default
    features = features_of(LIKE.value, TEXT.value, backbone.info, shift=SHIFT.value)
    samples, rate = spoken(
        backbone, adapter, features, seed=SEED.value, temperature=TEMPERATURE.value
    )
    write_wav(OUT.value, samples, rate)
    picture = f"{os.path.splitext(OUT.value)[0]}.png"
    save_spectrogram(samples, rate, picture)
    print(f"{OUT.value}: {len(samples) / rate:.2f} s at {rate} Hz; {picture}: its spectrogram.")
