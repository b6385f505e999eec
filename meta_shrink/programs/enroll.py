"""Make an adapter for each new speaker from recordings and their texts.

  meta-shrink enroll --backbone=backbones/voices --from=RECORDINGS --out=adapters

--from is a folder or a tar as prepare-data speech reads it: sound files (.flac, .wav, .ogg) with
metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, or a .txt beside each. Text is aligned to
sound on this machine; what cannot be read or aligned is named and left out. Only the backbone's
task-specific modules adapt, and nothing of a recording goes into the files. The same command goes
on where it was stopped.
"""

from absl import flags

from meta_shrink.programs import cli
from meta_shrink.programs.adaptation import OUT, chosen_backbone, chosen_options

FROM = flags.DEFINE_string("from", None, "Folder or tar of recordings.", required=True)
NUM_HELDOUT = flags.DEFINE_integer(
    "num_heldout", 0, "Recordings of each speaker kept for the held-out metric.", lower_bound=0
)


def main(argv):
    """Enrol; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.adapt_tasks import adapt_tasks
    from meta_shrink.enrolment.voices import voice_tasks
    from meta_shrink.reporting.wording import Table

    cli.no_arguments(argv)
    backbone = chosen_backbone()
    tasks = voice_tasks(FROM.value, backbone.info, heldout=NUM_HELDOUT.value)
    rows = []
    for name, entry in adapt_tasks(backbone, tasks, OUT.value, chosen_options()).items():
        bits = list(entry["metric"].values())
        shown = f"{bits[0]:.3f} -> {bits[-1]:.3f}" if bits else "-"
        rows.append([name, entry["adapter"], f"{entry['bytes']:,}", entry["steps"], shown])
    heads = ["speaker", "adapter", "bytes", "steps", "held-out bits per sample"]
    cli.print_table(Table(heads, rows, []))
