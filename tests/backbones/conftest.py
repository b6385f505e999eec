"""One small exported backbone for the tests of a module."""

from __future__ import annotations

import pytest

from meta_shrink import Backbone, save_backbone
from tests.backbones.sources import small_convnet, source_of


@pytest.fixture(scope="session")
def source():
    """A pooling convnet whose last block and output are task-specific."""
    return source_of(small_convnet(), ["conv_1", "bn_1", "output"])


@pytest.fixture(scope="session")
def folder(source, tmp_path_factory):
    """Its backbone folder."""
    path = str(tmp_path_factory.mktemp("backbone"))
    save_backbone(source, path)
    return path


@pytest.fixture(scope="session")
def backbone(folder):
    return Backbone.load(folder)
