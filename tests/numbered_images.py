"""Image data whose pixels say which class and drawing they are."""

from __future__ import annotations

import numpy as np

from meta_shrink.images.classes import from_counts

SIZE, CHARACTERS = 6, 21
NAMES = [f"alphabet_{a:02d}" for a in range(46)]


def numbered_omniglot(*_: object, **__: object):
    """46 alphabets of 21 characters; pixels (0, 0..2) say alphabet, character and drawing."""
    shape = [len(NAMES), CHARACTERS, 20]
    images = np.full([*shape, SIZE, SIZE, 1], 200, np.uint8)
    for axis, values in enumerate(np.indices(shape)):
        images[..., 0, axis, 0] = values
    names = [f"{name}/character{c:02d}" for name in NAMES for c in range(CHARACTERS)]
    groups = [name for name in NAMES for _ in range(CHARACTERS)]
    flat = images.reshape(-1, SIZE, SIZE, 1)
    return from_counts(flat, names, [20] * len(names), groups)


def numbered_folder(*_: object, **__: object):
    """Six classes of 21 images in each split of an image folder."""
    shape = [6, CHARACTERS]
    images = np.full([*shape, SIZE, SIZE, 1], 200, np.uint8)
    for axis, values in enumerate(np.indices(shape)):
        images[..., 0, axis, 0] = values
    flat, counts = images.reshape(-1, SIZE, SIZE, 1), [CHARACTERS] * 6
    return {
        split: from_counts(flat, [f"{split}_{n}" for n in range(6)], counts)
        for split in ("train", "val", "test")
    }
