"""The small exported backbone of tests/backbones, for the tests of this folder."""

from __future__ import annotations

from tests.backbones.conftest import backbone as backbone
from tests.backbones.conftest import folder as folder
from tests.backbones.conftest import source as source
