"""Make an adapter for each new speaker from recordings and their texts.

  meta-shrink enroll --backbone=backbones/voices --from=RECORDINGS --out=adapters

--from is a folder or a tar as prepare-data speech reads it: sound files (.flac, .wav, .ogg) with
metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, or a .txt beside each. Text is aligned to
sound on this machine; what cannot be read or aligned is named and left out. Only the backbone's
task-specific modules adapt, and nothing of a recording goes into the files. The same command goes
on where it was stopped.
"""

from types import SimpleNamespace

from absl import flags

from meta_shrink.programs import cli

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
FROM = flags.DEFINE_string("from", None, "Folder or tar of recordings.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the adapters.", required=True)
STEPS = flags.DEFINE_integer(
    "steps", 0, "Adaptation steps; 0: as the backbone says.", lower_bound=0
)
SEED = flags.DEFINE_integer("seed", 0, "Of the pieces that each step sees.")
ENCODING = flags.DEFINE_enum(
    "encoding", "f32", ["f32", "f16", "bf16", "int8_delta"], "How the files hold numbers."
)
NUM_HELDOUT = flags.DEFINE_integer(
    "num_heldout", 0, "Recordings of each speaker kept for the held-out metric.", lower_bound=0
)
EARLY_STOP = flags.DEFINE_integer(
    "early_stop", 0, "End after this many records without a better one; 0: never.", lower_bound=0
)
CONSENT = flags.DEFINE_string("consent", "", "Text for the files: whose consent, to what.")
LICENCE = flags.DEFINE_string("licence", "", "Text for the files.")


def main(argv):
    """Enrol; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.backbones.loaded import Backbone
    from meta_shrink.enrolment.adapt_tasks import AdaptOptions, adapt_tasks
    from meta_shrink.enrolment.voices import voice_tasks
    from meta_shrink.reporting.wording import Table

    cli.no_arguments(argv)
    backbone = Backbone.load(BACKBONE.value)
    given = SimpleNamespace(
        steps=STEPS, seed=SEED, encoding=ENCODING, early_stop=EARLY_STOP, consent=CONSENT,
        licence=LICENCE,
    )  # fmt: skip
    options = AdaptOptions(**{name: flag.value for name, flag in vars(given).items()})
    tasks = voice_tasks(FROM.value, backbone.info, heldout=NUM_HELDOUT.value)
    rows = []
    for name, entry in adapt_tasks(backbone, tasks, OUT.value, options).items():
        bits = list(entry["metric"].values())
        shown = f"{bits[0]:.3f} -> {bits[-1]:.3f}" if bits else "-"
        rows.append([name, entry["adapter"], f"{entry['bytes']:,}", entry["steps"], shown])
    heads = ["speaker", "adapter", "bytes", "steps", "held-out bits per sample"]
    cli.print_table(Table(heads, rows, []))
