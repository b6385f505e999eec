"""`meta-shrink inspect|verify|sign`: looks at adapters, without importing TensorFlow.

    meta-shrink inspect FILE [--backbone=DIR] [--json]
    meta-shrink verify FILE... [--backbone=DIR] [--sha256=PIN] [--public_key=PEM]
    meta-shrink sign FILE --private_key=PEM

Exit codes: 0 fine, 2 wrong usage, 4 an adapter (or the backbone) that must not be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from meta_shrink import __version__
from meta_shrink.adapters.backbone_info import BackboneInfo, read_backbone_info
from meta_shrink.adapters.checks import implausible
from meta_shrink.adapters.describe import add_plausibility, as_text, describe
from meta_shrink.adapters.encodings import check_stored
from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.adapters.reading import (
    MAX_FILE_BYTES,
    SUFFIX,
    Adapter,
    load_default,
    max_bytes,
    parse_adapter,
    parse_stored,
)
from meta_shrink.adapters.regular_file import read_regular_file
from meta_shrink.adapters.signing import sign_adapter, verify_signature
from meta_shrink.errors import EXIT_ARTEFACT, EXIT_OK, AdapterError, MetaShrinkError, UsageError


class Backbone(NamedTuple):
    """What can be known of a backbone without TensorFlow: its info, and phi."""

    info: BackboneInfo
    default: Adapter


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (default: that of the process) and returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except MetaShrinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def inspect(options: argparse.Namespace) -> int:
    """Prints the facts of one adapter, once it is verified."""
    backbone = _backbone(options.backbone)
    content = _read(options.file, backbone)
    facts = describe(parse_stored(content, sha256=_pin(options.file, None), where=options.file))
    adapter = _check(content, options.file, None, backbone)
    if backbone and adapter:
        add_plausibility(facts, adapter, backbone.info, backbone.default)
    print(json.dumps(facts, indent=2) if options.json else as_text(facts))
    return EXIT_OK


def verify(options: argparse.Namespace) -> int:
    """Prints one line per adapter: ok and what was not checked, or the code and a sentence."""
    if options.sha256 and len(options.file) > 1:
        raise UsageError(f"--sha256 is of one file, and {len(options.file)} are given.")
    backbone = _backbone(options.backbone)
    results = [_verify_one(path, options, backbone) for path in options.file]
    return EXIT_OK if all(results) else EXIT_ARTEFACT


def sign(options: argparse.Namespace) -> int:
    """Signs one adapter; prints the path of the signature."""
    print(sign_adapter(options.file, options.private_key))
    return EXIT_OK


def _verify_one(path: str, options: argparse.Namespace, backbone: Backbone | None) -> bool:
    try:
        adapter = _load(path, options, backbone)
    except AdapterError as error:
        print(f"{error.code}: {error}")  # The sentence names the file.
        return False
    print(f"ok: {path}{_remark(adapter, backbone)}")
    return True


def _load(path: str, options: argparse.Namespace, backbone: Backbone | None) -> Adapter | None:
    content = _read(path, backbone)
    adapter = _check(content, path, options.sha256, backbone)
    if options.public_key:
        # What the signature vouches for, as a pin: the file may have been replaced since.
        parse_stored(content, sha256=verify_signature(path, options.public_key), where=path)
    return adapter


def _remark(adapter: Adapter | None, backbone: Backbone | None) -> str:
    if adapter is None or backbone is None:
        return " (not checked, for want of --backbone: backbone, names, shapes, probe)"
    odd = implausible(adapter, backbone.info, backbone.default.tensors)
    unlike = f"; unlike the backbone's own tasks in {', '.join(odd)}" if odd else ""
    return f" (not checked, it needs TensorFlow: probe){unlike}"


def _backbone(directory: str | None) -> Backbone | None:
    if directory is None:
        return None
    info = read_backbone_info(directory)
    return Backbone(info, load_default(directory, info))


def _read(path: str, backbone: Backbone | None) -> bytes:
    return read_regular_file(path, max_bytes(backbone.info) if backbone else MAX_FILE_BYTES)


def _check(content: bytes, path: str, pin: str | None, backbone: Backbone | None) -> Adapter | None:
    """All checks that can be made; the adapter, if there is a backbone."""
    pin = _pin(path, pin)
    if backbone is None:
        check_stored(parse_stored(content, sha256=pin, where=path).arrays, path)
        return None
    phi = backbone.default.tensors
    return parse_adapter(content, backbone.info, sha256=pin, default=phi, where=path)


def _pin(path: str, pin: str | None) -> str | None:
    """The pin that was given, or else the name of a file that is named by its id."""
    name = os.path.basename(path).removesuffix(SUFFIX)
    return pin or (name if is_sha256(name) else None)


def _parser() -> argparse.ArgumentParser:
    _, _, exit_codes = (__doc__ or "").partition("Exit codes:")
    parser = argparse.ArgumentParser(
        prog="meta-shrink",
        description="Looks at adapters, without importing TensorFlow.",
        epilog=f"Exit codes:{exit_codes}",
    )
    parser.add_argument("--version", action="version", version=f"meta_shrink {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = _command(commands, inspect, "show what an adapter holds")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--backbone", metavar="DIR", help="compare with this backbone")
    command.add_argument("--json", action="store_true", help="print JSON")
    command = _command(commands, verify, "check adapters, one line for each")
    command.add_argument("file", metavar="FILE", nargs="+")
    command.add_argument("--backbone", metavar="DIR", help="check against this backbone")
    command.add_argument("--sha256", metavar="PIN", help="refuse any other file")
    command.add_argument("--public_key", metavar="PEM", help="refuse what it did not sign")
    command = _command(commands, sign, "write FILE.sig, the signature of an adapter")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--private_key", metavar="PEM", required=True)
    return parser


def _command(commands: Any, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
    """A command named like its function. Flags may not be shortened: a later one might clash."""
    name = run.__name__
    parser = commands.add_parser(name, help=text, description=run.__doc__, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser
