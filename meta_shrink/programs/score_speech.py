"""Say how good voices are, beside real recordings of the same speakers.

  meta-shrink score-speech --real=RECORDINGS --spoken=adapted=DIR --spoken=shared=DIR2 \
      --corpus=data/speech --out=scores

Each folder (or tar) has SPEAKER/UTTERANCE.{wav,flac,ogg} and texts as prepare-data speech reads
them; what is spoken under the name of a real recording has its text. The speakers are the same in
all. Similarity is the cosine to the speaker's mean embedding, by a small verifier that is trained
on --corpus (half a minute, kept in --verifier_file) or by Resemblyzer; naturalness is
distillmos's opinion, where that is installed; intelligibility is how well the words fit the sound.
Sound that cannot be read or is too short is refused by its name, and nothing is written before all
is measured: scores.md, scores.png and scores.json in --out.
"""

import sys

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli

REAL = flags.DEFINE_string("real", None, "Real recordings of the speakers.", required=True)
SPOKEN = flags.DEFINE_multi_string("spoken", [], "NAME=DIR, what is compared. Repeatable.")
OUT = flags.DEFINE_string("out", None, "Folder for the result.", required=True)
CORPUS = flags.DEFINE_string("corpus", None, "Prepared speech that our verifier is trained on.")
VERIFIER = flags.DEFINE_enum(
    "verifier", "own", ["own", "resemblyzer"], "Whose embeddings similarity is of."
)
VERIFIER_FILE = flags.DEFINE_string(
    "verifier_file", None, "Where our verifier is kept; by default in the folder --corpus."
)
COPY_SYNTHESIS = flags.DEFINE_bool(
    "copy_synthesis", False, "Score the real recordings as WORLD says them again, too."
)


def main(argv):
    """Score; see the module's docstring."""
    cli.no_arguments(argv)
    spoken = _spoken()
    if VERIFIER.value != "own" and (CORPUS.value or VERIFIER_FILE.value):
        raise UsageError("--corpus and --verifier_file are of --verifier=own alone.")
    # Late, so that --help is quick.
    from meta_shrink.reporting.voice_scores import open_out, score_table, write_scores
    from meta_shrink.speech.scores import compared
    from meta_shrink.speech.scores.copy_synthesis import copied
    from meta_shrink.speech.scores.listeners import listeners
    from meta_shrink.speech.scores.score import scores
    from meta_shrink.speech.scores.verifier_file import require_source

    if VERIFIER.value == "own":
        require_source(CORPUS.value, VERIFIER_FILE.value)
    sounds, lexicon = compared.all_sounds(REAL.value, spoken)
    open_out(OUT.value)
    real = sounds[compared.REAL]
    verifier = (VERIFIER.value, CORPUS.value, VERIFIER_FILE.value)
    hearing, about = listeners(real, lexicon, *verifier)
    if COPY_SYNTHESIS.value:
        sounds[compared.COPY] = copied(real)
    found = about | {"command": sys.argv} | scores(sounds, hearing)
    for path in write_scores(OUT.value, found):
        print(path)
    cli.print_table(score_table(found))


def _spoken():
    """{name: folder} of --spoken."""
    found = {}
    for word in SPOKEN.value:
        name, equals, folder = word.partition("=")
        if not equals or not name.strip() or not folder.strip():
            raise UsageError(f"--spoken={word}: expected NAME=DIR.")
        if name in found:
            raise UsageError(f"--spoken={word}: {name} is there twice.")
        found[name] = folder
    return found
