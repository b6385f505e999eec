"""Bring a data set of images or speech into the form that the configs read: once, before training.

  meta-shrink prepare-data omniglot --from=FOLDER      the four archives of Lake's Omniglot
  meta-shrink prepare-data omniglot --download         the same, where there is network
  meta-shrink prepare-data images --from=PATH          miniImageNet, or any other photographs

omniglot: FOLDER holds images_background.zip, images_evaluation.zip, images_background_small1.zip
and images_background_small2.zip of github.com/brendenlake/omniglot, folder python. The set is built
by tensorflow-datasets in --out (data/omniglot_tfds), in a minute.

images: PATH is a folder or a ZIP file with train.csv, val.csv and test.csv (filename,label) and
images/; folders train/<class>/*.jpg, val/ and test/, or a ZIP file for each; the pickles of
miniImageNet (mini-imagenet-cache-*.pkl, miniImageNet_category_split_*.pickle), which are parsed
and never run; or train.npz, val.npz and test.npz with image_data and labels. It becomes one
images.npz in --out (data/<name of PATH>).

  meta-shrink prepare-data speech --from=PATH --out=FOLDER    recordings of several speakers

speech: PATH is a folder or a tar (or a folder of tars; .tar, .tar.gz, .tar.bz2, .tar.xz) with sound
files (.flac, .wav, .ogg) and their texts: metadata.jsonl (path, text, speaker in each line), the
layout of VCTK, LibriTTS or LJSpeech (its speaker is called as the folder or tar), or a .txt or .lab
beside each sound; or a folder NAME/CONFIG/VERSION that tensorflow-datasets prepared (vctk and the
like). phone_alignment.jsonl.gz in PATH is used, else pocketsphinx aligns text to phones;
lexicon.txt adds words to its own, or says them otherwise (by its first line of a word). Each
speaker becomes one NPZ file in --out (data/<name of PATH>). What cannot be read or aligned, or is
too short, nearly silent, clipped or too noisy, is named and left out. --sample_rate, --pre_emphasis
and --processes may be set.

A preparation that was killed is repaired by the same command, and one that is done is not repeated.
"""

import os
from types import SimpleNamespace

from absl import flags, logging

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.classes import subset
from meta_shrink.images.omniglot import character_split
from meta_shrink.images.prepare import prepare_images, prepare_omniglot
from meta_shrink.programs import cli, places

FROM = flags.DEFINE_string("from", None, "Folder or file with the data as it was published.")
OUT = flags.DEFINE_string("out", None, "Folder to fill: the config's task.data_dir.")
DOWNLOAD = flags.DEFINE_bool("download", False, "omniglot: download the archives (17 MB).")
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images; 28 for omniglot, 84 for images."
)
INTERPOLATION = flags.DEFINE_enum(
    "interpolation", "lanczos", ["lanczos", "bilinear", "box", "nearest"], "Of the resizing."
)
EXIF = flags.DEFINE_bool("exif", True, "images: turn pictures as EXIF says (as task.exif does).")
SAMPLE_RATE = flags.DEFINE_integer("sample_rate", 16_000, "speech: samples of a second.")
PRE_EMPHASIS = flags.DEFINE_float(
    "pre_emphasis", 0.0, "speech: of the codes, in [0, 1); docs/voices.md takes 0.85. 0: none."
)
PROCESSES = flags.DEFINE_integer("processes", 1, "speech: processes that prepare at a time.")
# Flags that only some kinds have.
OF_KINDS = {
    "download": ("omniglot",),
    "image_size": ("omniglot", "images"),
    "interpolation": ("omniglot", "images"),
    "exif": ("images",),
    "sample_rate": ("speech",),
    "pre_emphasis": ("speech",),
    "processes": ("speech",),
}


def main(argv):
    """Prepare; see the module's docstring."""
    if len(argv) != 2 or argv[1] not in KINDS:
        raise UsageError(f"expected one of {', '.join(KINDS)}; got {' '.join(argv[1:]) or 'none'}.")
    for name, kinds in OF_KINDS.items():
        if flags.FLAGS[name].present and argv[1] not in kinds:
            raise UsageError(f"--{name} is of {' and '.join(kinds)}, not of {argv[1]}.")
    logging.set_verbosity(logging.ERROR)  # tfds warns of the folder that it is about to make.
    out, prepare = KINDS[argv[1]]()
    try:
        splits = prepare()
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{error.filename or out} cannot be written ({why}).") from error
    cli.print_table(_speech_table(splits) if argv[1] == "speech" else _image_table(splits))
    print(f"Ready: --config.task.data_dir={out}")


def _omniglot():
    """(Folder, function that prepares Omniglot in it and returns its splits)."""
    if (FROM.value is None) != DOWNLOAD.value:
        raise UsageError("omniglot needs --from=FOLDER with its archives, or --download.")
    out = OUT.value or os.path.join("data", "omniglot_tfds")

    def prepare():
        classes = prepare_omniglot(out, source=FROM.value, **_options(28))
        split = character_split(classes)
        few_shot = {f"few-shot {name}": subset(classes, names) for name, names in split.items()}
        return few_shot | {"all": classes}

    return out, prepare


def _places(what: str) -> tuple[str, str]:
    """(Source, folder for what is prepared), the latter named as the source unless it is given."""
    source = FROM.value
    if source is None:
        raise UsageError(f"{what} needs --from=PATH, and downloads nothing.")
    return source, OUT.value or os.path.join("data", places.name_of(os.path.abspath(source)))


def _images():
    """(Folder, function that prepares photographs in it and returns their splits)."""
    source, out = _places("images")
    return out, lambda: prepare_images(source, out, **_options(84), exif=EXIF.value)


def _speech():
    """(Folder, function that prepares recordings in it and returns its speakers)."""
    source, out = _places("speech")
    # The packages of the extra speech, and TensorFlow: not needed for images.
    from meta_shrink.speech.prepare import prepare_speech

    def prepare():
        return prepare_speech(
            source,
            out,
            sample_rate=SAMPLE_RATE.value,
            pre_emphasis=PRE_EMPHASIS.value,
            processes=PROCESSES.value,
        )

    return out, prepare


def _speech_table(speakers):
    rows = [
        (s.speaker, s.split or "-", s.utterances, f"{s.seconds:.1f}", len(s.left_out))
        for s in speakers
    ]
    whole = [sum(s.utterances for s in speakers), sum(s.seconds for s in speakers)]
    rows.append(("all", "", whole[0], f"{whole[1]:.1f}", sum(len(s.left_out) for s in speakers)))
    columns = ("speaker", "split", "utterances", "seconds", "left out")
    return SimpleNamespace(columns=columns, rows=rows)


def _image_table(splits):
    columns = ("split", "classes", "images", "images a class", "size")
    return SimpleNamespace(columns=columns, rows=[_row(*item) for item in splits.items()])


def _options(size):
    return {
        "image_size": size if IMAGE_SIZE.value is None else IMAGE_SIZE.value,
        "interpolation": INTERPOLATION.value,
    }


def _row(name, classes):
    least, most = classes.count.min(), classes.count.max()
    each = str(most) if least == most else f"{least} to {most}"
    size = " x ".join(map(str, classes.images.shape[1:]))
    return name, len(classes.names), len(classes.images), each, size


KINDS = {"omniglot": _omniglot, "images": _images, "speech": _speech}
