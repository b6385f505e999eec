"""Make an adapter for each new speaker from recordings and their texts.

  meta-shrink enroll --backbone=backbones/voices --from=RECORDINGS --out=adapters

--from is a folder or a tar as prepare-data speech reads it: sound files (.flac, .wav, .ogg) with
metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, or a .txt beside each. Text is aligned to
sound on this machine; what cannot be read or aligned, or is too short, nearly silent, clipped or
too noisy, is named and left out. Only the backbone's task-specific modules adapt, and nothing of a
recording goes into the files. The same command goes on where it was stopped, and hears nobody who
has an adapter again. A speaker with less than 2 seconds of voiced speech is left out, and named at
the end (exit code 3). --processes=N adapts N speakers at a time, to the same adapters.

With --prosody, a backbone that was trained with configs/prosody.py, each speaker's own rhythm and
melody go into adapters of it, in the folder prosody of --out, by its own number of steps.
"""

import os

from absl import flags

from meta_shrink.durable_files import check_writable, real_directory
from meta_shrink.errors import UsageError, unwritable
from meta_shrink.programs import cli
from meta_shrink.programs.adaptation import (
    OPTIONS,
    OUT,
    PROCESSES,
    chosen_backbone,
    chosen_options,
)
from meta_shrink.programs.loading import load_backbone

FROM = flags.DEFINE_string("from", None, "Folder or tar of recordings.", required=True)
NUM_HELDOUT = flags.DEFINE_integer(
    "num_heldout", 0, "Recordings of each speaker kept for the held-out metric.", lower_bound=0
)
PROSODY = flags.DEFINE_string("prosody", None, "Folder of export-backbone, of configs/prosody.py.")


def main(argv):
    """Enrol; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.adapt_tasks import adapt_tasks, left_out_error
    from meta_shrink.enrolment.finished_tasks import check_others
    from meta_shrink.enrolment.saying import prosody_of
    from meta_shrink.enrolment.voices import RecordedVoices, prosody_tasks, voice_tasks

    cli.no_arguments(argv)
    check_before()
    backbone, options = chosen_backbone(), chosen_options()
    prosody = load_backbone(PROSODY.value) if PROSODY.value else None
    if prosody is not None:
        prosody_of(prosody.info, backbone.info)
    voices = RecordedVoices(FROM.value, backbone.info, keep=prosody is not None)
    out = os.path.join(OUT.value, "prosody")
    if prosody is not None:
        check_others(out, voices.speakers, prosody.info)
    heldout, left_out = NUM_HELDOUT.value, dict(voices.left_out)

    def adapted(network, tasks, out, options, metric):
        missing: dict[str, str] = {}
        how: dict = {"processes": PROCESSES.value, "left_out": missing}
        show(adapt_tasks(network, tasks, out, options, **how), metric)
        for name, why in missing.items():
            before = left_out.get(name, why)
            left_out[name] = why if before == why else f"{before}; prosody: {why}"

    tasks = voice_tasks(voices, backbone.info, heldout=heldout)
    adapted(backbone, tasks, OUT.value, options, "held-out bits per sample")
    if prosody is not None:
        tasks = prosody_tasks(voices, prosody.info, heldout=heldout)
        options = options._replace(steps=0)
        adapted(prosody, tasks, out, options, "held-out negative log-likelihood per phone")
    if left_out:
        raise left_out_error(left_out, len(voices.speakers) + len(voices.left_out))


def check_before():
    """What need not wait for the recordings, which take a second each.

    Raises:
      UsageError, DiskError: --early_stop without anything held out, or --out cannot be written.
    """
    if OPTIONS["early_stop"].value and not NUM_HELDOUT.value:
        raise UsageError("--early_stop needs --num_heldout=N: it stops by held-out recordings.")
    try:
        real_directory(OUT.value)
        check_writable(OUT.value)
    except OSError as error:
        raise unwritable(OUT.value, error) from error


def show(tasks, metric):
    """Print what was adapted."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.voices import enrolled_rows
    from meta_shrink.reporting.wording import Table

    columns = ["speaker", "adapter", "bytes", "steps", metric]
    cli.print_table(Table(columns, enrolled_rows(tasks), []))
