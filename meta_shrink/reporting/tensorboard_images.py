"""The report's figures as TensorBoard shows them, written without TensorFlow."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping

# Protocol buffers' classes are made when their module is imported.
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from meta_shrink.durable_files import real_directory, refuse_link, write_atomically
from meta_shrink.errors import unwritable

FOLDER, FILE = "report", "events.out.tfevents.0.report"  # one name: a new report replaces it
RGB_AND_ALPHA = 4


def show_in_tensorboard(directory: str, pngs: Mapping[str, bytes], step: int) -> None:
    """Add pictures to the TensorBoard data of a run, as its part "report"; nothing without data.

    Raises:
      UsageError: the folder cannot be written.
    """
    if not os.path.isdir(directory):
        return
    folder = os.path.join(directory, FOLDER)
    try:
        refuse_link(directory)
        real_directory(folder)
        write_atomically(os.path.join(folder, FILE), figure_events(pngs, step))
    except OSError as error:
        raise unwritable(folder, error) from error


def figure_events(pngs: Mapping[str, bytes], step: int) -> bytes:
    """The content of an event file: each picture under its name, at that meta-step."""
    file = io.BytesIO()
    writer, now = RecordWriter(file), time.time()
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    values = [Summary.Value(tag=name, image=_image(png)) for name, png in pngs.items()]
    event = Event(wall_time=now, step=step, summary=Summary(value=values))
    writer.write(event.SerializeToString())
    return file.getvalue()


def _image(png: bytes) -> Summary.Image:
    """Width and height stand in the first block of a PNG file."""
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    return Summary.Image(
        width=width, height=height, colorspace=RGB_AND_ALPHA, encoded_image_string=png
    )
