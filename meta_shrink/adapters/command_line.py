"""`meta-shrink inspect|verify|sign`: looks at adapters, without importing TensorFlow.

    meta-shrink inspect FILE [--backbone=DIR] [--json]
    meta-shrink verify FILE... [--backbone=DIR] [--sha256=PIN] [--public_key=PEM]
    meta-shrink sign FILE --private_key=PEM

Exit codes: 0 fine, 2 wrong usage, 4 an adapter (or the backbone) that must not be used, or a full
disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from meta_shrink import __version__
from meta_shrink.adapters.backbone_info import BackboneInfo, read_backbone_info, version_directory
from meta_shrink.adapters.checks import implausible
from meta_shrink.adapters.describe import add_plausibility, as_text, describe
from meta_shrink.adapters.encodings import check_stored
from meta_shrink.adapters.header import check_order
from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.adapters.reading import (
    SUFFIX,
    Adapter,
    load_default,
    max_bytes,
    parse_adapter,
    parse_stored,
    read_adapter_file,
)
from meta_shrink.adapters.signing import sign_adapter, verify_signature
from meta_shrink.errors import (
    EXIT_ARTEFACT,
    EXIT_OK,
    AdapterError,
    ArtefactError,
    MetaShrinkError,
    UsageError,
    one_line,
    refuse_url,
)

_PLAIN_NAME = re.compile(r"[\w./~@%+=,-]+")


class Backbone(NamedTuple):
    """What can be known of a backbone without TensorFlow: its info, and phi."""

    info: BackboneInfo
    default: Adapter


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (default: that of the process) and returns its exit code."""
    options = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # A name may have letters that it does not know. Programs wrap it (streams.Forgiving).
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    try:
        _check_values(options)
        return options.run(options)
    except MetaShrinkError as error:
        print(one_line(f"error: {error}"), file=sys.stderr)
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
    """Prints one line per adapter: ok and what was checked, or the code and a sentence."""
    pin = options.sha256
    if pin is not None and len(options.file) > 1:
        raise UsageError(f"--sha256 is of one file, and {len(options.file)} are given.")
    if pin is not None and not is_sha256(pin):
        raise UsageError(f"--sha256 is {pin[:80]!r}; expected 64 lower-case hexadecimal digits.")
    backbone = _backbone(options.backbone)
    results = [_verify_one(path, options, backbone) for path in options.file]
    return EXIT_OK if all(results) else EXIT_ARTEFACT


def sign(options: argparse.Namespace) -> int:
    """Signs one adapter; prints the path of the signature."""
    print(one_line(sign_adapter(options.file, options.private_key)))
    return EXIT_OK


def _check_values(options: argparse.Namespace) -> None:
    """An empty value is a variable that a script forgot to set, and no wish to check less; a URL
    is no file."""
    for name, value in vars(options).items():
        if name == "file" and "" in ([value] if isinstance(value, str) else value):
            raise UsageError("FILE is empty: name an adapter.")
        if value == "":
            raise UsageError(f"--{name} is empty: give it a value, or leave it out.")
        for path in value if isinstance(value, list) else [value]:
            refuse_url("FILE" if name == "file" else f"--{name}", str(path))


def _verify_one(path: str, options: argparse.Namespace, backbone: Backbone | None) -> bool:
    try:
        adapter = _load(path, options, backbone)
    except AdapterError as error:
        print(one_line(f"{error.code}: {error}"))  # The sentence names the file.
        return False
    print(one_line(f"ok: {_shown(path)} {_remark(path, options, adapter, backbone)}"))
    return True


def _load(path: str, options: argparse.Namespace, backbone: Backbone | None) -> Adapter | None:
    content = _read(path, backbone)
    adapter = _check(content, path, options.sha256, backbone)
    if options.public_key is not None:
        # What the signature vouches for, as a pin: the file may have been replaced since.
        parse_stored(content, sha256=verify_signature(path, options.public_key), where=path)
    return adapter


def _remark(
    path: str, options: argparse.Namespace, adapter: Adapter | None, backbone: Backbone | None
) -> str:
    """What was checked and what was not."""
    pinned, signed = options.sha256 is not None, options.public_key is not None
    named = not pinned and _pin(path, None) is not None
    checked = ["content", "values", *["the SHA-256 in its name"] * named]
    checked += ["--sha256"] * pinned + ["signature"] * signed
    missing = [] if pinned or signed else ["who made it, for want of a pin or a key"]
    if adapter is None or backbone is None:
        missing = ["backbone, names, shapes, probe, for want of --backbone", *missing]
        return f"(checked: {', '.join(checked)}; not checked: {'; '.join(missing)})"
    checked += ["backbone", "names", "shapes"]
    missing = ["probe, which needs TensorFlow", *missing]
    odd = implausible(adapter, backbone.info, backbone.default.tensors)
    unlike = f"; unlike the backbone's own tasks in {', '.join(odd)}" if odd else ""
    return f"(checked: {', '.join(checked)}; not checked: {'; '.join(missing)}){unlike}"


def _shown(path: str) -> str:
    """A name that could be taken for words of ours is in quotes, with escapes."""
    return path if _PLAIN_NAME.fullmatch(path) else repr(path)


def _backbone(directory: str | None) -> Backbone | None:
    if directory is None:
        return None
    try:
        version = version_directory(directory)  # Once: a newer one may appear in between.
    except OSError as error:
        raise ArtefactError(
            f"{directory} cannot be read ({error.strerror}): check its permissions."
        ) from error
    info = read_backbone_info(version)
    return Backbone(info, load_default(version, info))


def _read(path: str, backbone: Backbone | None) -> bytes:
    return read_adapter_file(path, *[max_bytes(backbone.info)] if backbone else [])


def _check(content: bytes, path: str, pin: str | None, backbone: Backbone | None) -> Adapter | None:
    """All checks that can be made; the adapter, if there is a backbone."""
    pin = _pin(path, pin)
    if backbone is None:
        stored = parse_stored(content, sha256=pin, where=path)
        check_order(stored.entries, path)
        check_stored(stored.arrays, path)
        return None
    phi = backbone.default.tensors
    return parse_adapter(content, backbone.info, sha256=pin, default=phi, where=path)


def _pin(path: str, pin: str | None) -> str | None:
    """The pin that was given, or else the name of a file that is named by its id."""
    name = os.path.basename(path).removesuffix(SUFFIX)
    return pin if pin is not None else (name if is_sha256(name) else None)


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
    command.add_argument(
        "--backbone", action=_Once, metavar="DIR", help="compare with this backbone"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command = _command(commands, verify, "check adapters, one line for each")
    command.add_argument("file", metavar="FILE", nargs="+")
    command.add_argument(
        "--backbone", action=_Once, metavar="DIR", help="check against this backbone"
    )
    command.add_argument("--sha256", action=_Once, metavar="PIN", help="refuse any other file")
    command.add_argument(
        "--public_key", action=_Once, metavar="PEM", help="refuse what it did not sign"
    )
    command = _command(commands, sign, "write FILE.sig, the signature of an adapter")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--private_key", action=_Once, metavar="PEM", required=True)
    return parser


class _Once(argparse.Action):
    """A flag that may not be given again: the former value would be checked no more."""

    def __call__(self, parser, namespace, values, option_string=None):
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _command(commands: Any, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
    """A command named like its function. Flags may not be shortened: a later one might clash."""
    name = run.__name__
    parser = commands.add_parser(name, help=text, description=run.__doc__, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser
