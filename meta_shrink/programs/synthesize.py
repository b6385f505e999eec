"""Say a text in an enrolled voice, or a recording's words with its timing and melody.

  meta-shrink synthesize --backbone=backbones/voices --adapter=adapters/ID.safetensors \
      --prosody=backbones/prosody --text="hello there" --out=spoken.wav
  meta-shrink synthesize --backbone=backbones/voices --adapter=adapters/ID.safetensors \
      --like=hello.wav --text="hello there" --out=spoken.wav

One of two gives phones, durations and pitch. --like is a recording; its words are --text, or what
the .txt of its name has. --prosody is a backbone that was trained with configs/prosody.py, and says
any English text; --prosody_adapter is a speaker's own rhythm and melody (enroll --prosody).
--lexicon says how words are said: names, and what has several ways. --shift moves the pitch by
semitones towards the voice. Without --adapter, the backbone itself speaks. --out is a WAV file,
written when it is whole; a picture of its spectrogram is beside it.
"""

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli
from meta_shrink.programs.loading import load_backbone

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
ADAPTER = flags.DEFINE_string("adapter", None, "File of enroll; none: the backbone's own voice.")
LIKE = flags.DEFINE_string("like", None, "A recording (.flac, .wav, .ogg).")
PROSODY = flags.DEFINE_string("prosody", None, "Folder of export-backbone, of configs/prosody.py.")
PROSODY_ADAPTER = flags.DEFINE_string("prosody_adapter", None, "File of enroll --prosody.")
TEXT = flags.DEFINE_string("text", "", "What is said; of --like by default the .txt beside it.")
LEXICON = flags.DEFINE_string(
    "lexicon", None, "File of lines WORD PHONE PHONE ... (ARPAbet): how words of --text are said."
)
OUT = flags.DEFINE_string("out", None, "The WAV file to write.", required=True)
SHIFT = flags.DEFINE_float("shift", 0.0, "Semitones that the pitch goes up or (below 0) down.")
TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Below 1 is less noise; 0 takes the likeliest sample.", 0.0, 10.0
)
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", 0)


def main(argv):
    """Speak; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.speaking import check_out, picture_beside, spoken, write_wav
    from meta_shrink.reporting.spectrogram import save_spectrogram

    cli.no_arguments(argv)
    check_timing()
    check_out(OUT.value, LIKE.value)
    backbone = load_backbone(BACKBONE.value)
    adapter = backbone.load_adapter(ADAPTER.value) if ADAPTER.value else backbone.default
    samples, rate = spoken(
        backbone,
        adapter,
        chosen_features(backbone.info),
        seed=SEED.value,
        temperature=TEMPERATURE.value,
    )
    write_wav(OUT.value, samples, rate)
    picture = picture_beside(OUT.value)
    save_spectrogram(samples, rate, picture)
    print(f"{OUT.value}: {len(samples) / rate:.2f} s at {rate} Hz; {picture}: its spectrogram.")


def check_timing():
    """One source of timing and melody, whole.

    Raises:
      UsageError: neither or both of --like and --prosody, or what belongs to the other.
    """
    if (LIKE.value is None) == (PROSODY.value is None):
        given = "both were" if LIKE.value else "neither was"
        raise UsageError(
            "Timing and melody come from --like=RECORDING, or of --text from "
            f"--prosody=BACKBONE: {given} given; give one of them."
        )
    if PROSODY_ADAPTER.value is not None and PROSODY.value is None:
        raise UsageError("--prosody_adapter belongs to --prosody=BACKBONE, and --like has none.")
    if PROSODY.value is not None and not TEXT.value.strip():
        raise UsageError("--text is empty: --prosody says a text, so write what is to be said.")


def chosen_features(info):
    """float32 [F, FEATURES] of the flags."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.saying import Sayer
    from meta_shrink.enrolment.speaking import features_of
    from meta_shrink.speech.lexicon import chosen_lexicon

    lexicon = chosen_lexicon(LEXICON.value)
    if LIKE.value is not None:
        return features_of(LIKE.value, TEXT.value, info, shift=SHIFT.value, lexicon=lexicon)
    prosody = load_backbone(str(PROSODY.value))
    sayer = Sayer(prosody, info, lexicon)
    adapter = prosody.load_adapter(PROSODY_ADAPTER.value) if PROSODY_ADAPTER.value else None
    return sayer.features(TEXT.value, adapter, shift=SHIFT.value)
