"""A backbone of the size of a speaker-adaptive WaveNet, with random weights, to measure serving.

    python -m benchmarks.speaker_backbone --out=backbones/speaker
    python -m benchmarks.speaker_backbone --voices --out=backbones/untrained_voices

12 of its 30 dilated layers are task-specific: 1.6 MB an adapter in f16. With --voices it is the
network of configs/speech.py, which speaks: 51 kB an adapter in f32.
"""

from absl import app, flags

from benchmarks.speaker_network import speaker_source, voice_source
from meta_shrink.backbones.writing import save_backbone

OUT = flags.DEFINE_string("out", None, "Folder of the backbone's versions.", required=True)
VOICES = flags.DEFINE_bool("voices", False, "The network of configs/speech.py:quick_sigma_reptile.")


def main(argv):
    """Export; see the module's docstring."""
    del argv
    source = voice_source() if VOICES.value else speaker_source()
    save_backbone(source, OUT.value)
    print(f"{OUT.value}: {source.selection.share:.1%} of the parameters are task-specific.")


if __name__ == "__main__":
    app.run(main)
