"""Data sets brought into the form that trains: Omniglot by tensorflow-datasets, photographs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.classes import ImageClasses
from meta_shrink.images.file_tree import ZIP_ERRORS, folder_tree
from meta_shrink.images.image_folder import PREPARED, load_image_folder
from meta_shrink.images.npz_file import read_npz, write_npz
from meta_shrink.images.omniglot import is_prepared, load_omniglot
from meta_shrink.images.optional import optional_module
from meta_shrink.images.pictures import check_options
from meta_shrink.images.whole_files import only_maker_of

Log = Callable[[str], object]

# The four archives and the SHA-256 of the lines "name CRC-32" of their drawings: an archive that
# was zipped anew holds the published drawings, although its own checksum is another.
ARCHIVES = {
    "images_background.zip": "c529e32627de7cfa3fd2ae993b800fa590be526594bbb9bef2a58f8a1b7d1524",
    "images_evaluation.zip": "421f0125de89cad566ce1e7ed0f97f6e8c68dc2a5c05e3aacce9f36133e29697",
    "images_background_small1.zip": (
        "f5152123324fbc1702553db0eb47b4bf64953e2aa85b6915d4d41656e8217fdf"
    ),
    "images_background_small2.zip": (
        "d689bb7b87051e6bf93c8e4c4c12cf7cd6cacaea9ecbb5a8c18ec2a893d4c85d"
    ),
}


def prepare_omniglot(
    data_dir: str,
    *,
    source: str | None = None,
    image_size: int = 28,
    interpolation: str = "lanczos",
    log: Log = print,
) -> ImageClasses:
    """Fills a data_dir of tensorflow-datasets, once, and the cache of this size.

    What a killed process left is removed; a damaged data set is made again.

    Args:
      data_dir: to fill; other data sets in it stay as they are.
      source: folder with the four archives of ARCHIVES; None downloads them.
      image_size, interpolation: as load_omniglot.
      log: told of every step that takes time.

    Raises:
      DataError: an archive is missing, damaged or another one, or the download fails.
      UsageError: an option is out of range.
    """
    check_options(image_size, interpolation)
    how: dict[str, Any] = {"image_size": image_size, "interpolation": interpolation, "log": log}
    damaged = is_prepared(data_dir)
    if damaged:
        try:
            classes = load_omniglot(data_dir, **how)
            log(f"Omniglot in {data_dir} was prepared already.")
            return classes
        except DataError as error:
            log(f"{error} So it is now.")
    if source is not None:
        log(f"Checking {len(ARCHIVES)} archives in {source} ...")
        for name, digest in ARCHIVES.items():
            _check_archive(os.path.join(source, name), digest)
    os.makedirs(data_dir, exist_ok=True)
    with only_maker_of(os.path.join(data_dir, "omniglot")):
        if damaged or not is_prepared(data_dir):  # Another process may just have done it.
            _build(data_dir, source, log)
    log(f"Resizing 32,460 drawings to {image_size} x {image_size} (15 s) ...")
    return load_omniglot(data_dir, **how)


def _check_archive(path: str, digest: str) -> None:
    if not os.path.isfile(path):
        raise DataError(
            f"{path} is missing: --from needs {', '.join(ARCHIVES)} of "
            "github.com/brendenlake/omniglot, folder python."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = [m for m in archive.infolist() if m.filename.endswith(".png")]
    except ZIP_ERRORS as error:
        raise DataError(f"{path} is not a whole ZIP file ({error}).") from error
    if damaged:
        raise DataError(f"{path} is damaged: {damaged} in it has a wrong checksum.")
    lines = "\n".join(sorted(f"{m.filename} {m.CRC:08x}" for m in members))
    if hashlib.sha256(lines.encode()).hexdigest() != digest:
        raise DataError(f"{path} is not the archive of Omniglot: it holds other drawings.")


def _build(data_dir: str, source: str | None, log: Log) -> None:
    """Runs the builder of tensorflow-datasets; downloads, scratch and leftovers are removed."""
    folder = os.path.join(data_dir, "omniglot")
    downloads = os.path.join(data_dir, "omniglot_downloads")
    for leftover in (folder, downloads):  # Of a killed process, or damaged.
        shutil.rmtree(leftover, ignore_errors=True)
    tfds = optional_module("tensorflow_datasets")
    tfds.disable_progress_bar()
    what = "Building" if source else "Downloading 17 MB and building"
    log(f"{what} the data set of tensorflow-datasets in {folder} (40 s) ...")
    try:
        builder = tfds.builder("omniglot", data_dir=data_dir)
        if source is not None:
            _fill_downloads(builder, source, downloads)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    except Exception as error:  # tfds and its downloader raise a dozen types, most of them bare.
        why = (str(error).splitlines() or [""])[0]
        done = "build" if source else "download"
        advice = "" if source else " Without network: --from=FOLDER with the archives."
        raise DataError(
            f"tensorflow-datasets could not {done} Omniglot ({type(error).__name__}: {why[:300]})."
            f"{advice}"
        ) from error
    finally:
        shutil.rmtree(downloads, ignore_errors=True)


def _fill_downloads(builder: Any, source: str, downloads: str) -> None:
    """Puts archives where tfds looks for finished downloads, under the names it gives them.

    tfds believes a download that has its .INFO file beside it; its own check of the archives'
    checksums would refuse archives that were zipped anew.
    """
    resource = optional_module("tensorflow_datasets.core.download.resource")
    folder = optional_module("etils.epath").Path(downloads) / builder.name
    folder.mkdir(parents=True)
    for url, info in type(builder).url_infos.items():
        target = folder / resource.get_dl_fname(url, info.checksum)
        shutil.copyfile(os.path.join(source, info.filename), target)
        names = {"dataset_name": builder.name, "original_fname": info.filename}
        resource.write_info_file(url=url, path=target, url_info=info, **names)


def prepare_images(
    source: str,
    folder: str,
    *,
    image_size: int = 84,
    interpolation: str = "lanczos",
    exif: bool = True,
    log: Log = print,
) -> dict[str, ImageClasses]:
    """Writes <folder>/images.npz from images in any form of load_image_folder; its splits.

    The file is made again when the files of the source, their sizes or times have changed.

    Raises:
      DataError, UsageError: as load_image_folder; the folder is the source.
    """
    check_options(image_size, interpolation)
    if not os.path.exists(source):
        raise DataError(f"{source} does not exist: --from names a folder, a ZIP or an NPZ file.")
    if os.path.realpath(source) == os.path.realpath(folder):
        raise UsageError(f"--out={folder} is the folder of --from; expected another one.")
    path = os.path.join(folder, PREPARED)
    how: dict[str, Any] = {"image_size": image_size, "interpolation": interpolation, "exif": exif}
    settings = {**how, "source": _fingerprint(source)}
    if (splits := _up_to_date(path, settings)) is not None:
        log(f"{path} was prepared already.")
        return splits
    log(f"Reading {source} ...")
    splits = load_image_folder(source, **how, log=log)
    os.makedirs(folder, exist_ok=True)
    with only_maker_of(path):
        log(f"Writing {path} ...")
        write_npz(path, splits, **settings)
    return splits


def _up_to_date(path: str, settings: dict[str, Any]) -> dict[str, ImageClasses] | None:
    try:
        splits, written = read_npz(path)
    except DataError:
        return None
    return splits if written == settings else None


def _fingerprint(source: str) -> str:
    """SHA-256 of the names, sizes and times of files."""
    names = folder_tree(source).names if os.path.isdir(source) else ("",)
    digest = hashlib.sha256()
    for name in names:
        try:
            status = os.stat(os.path.join(source, name) if name else source)
        except OSError as error:
            raise DataError(f"{name} in {source} cannot be read ({error.strerror}).") from error
        line = f"{name} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
