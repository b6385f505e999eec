"""Serve a backbone and the adapters of one folder over HTTP, as TensorFlow Serving's REST API.

  meta-shrink serve --backbone=exports/omniglot --adapters=exports/adapters
  curl -d '{"instances": [{"x": [0.5], "adapter": "task_7"}]}' localhost:8501/v1/models/NAME:predict

An adapter is named by its id or by an alias of index.json in the folder; SIGHUP reads index.json
again. SIGTERM answers the requests in flight and ends with 0. Metrics for Prometheus: /metrics;
health: /healthz, /readyz. It does not encrypt: put a proxy in front that does.

A backbone of voices speaks as synthesize does, and answers audio/wav; "like" is a sound file in
base64, "stream": true answers while it speaks, voices:synthesize is the backbone's own voice. With
--prosody, {"text": "..."} is enough; --lexicon says how names and the like are said. At / is a
page to try them.

  curl -d '{"features": [[...]], "seed": 1}' localhost:8501/v1/models/NAME/voices/ID:synthesize

--tokens=FILE lets only those ask who send Authorization: Bearer TOKEN (health and the page are
open). Each line of FILE is the SHA-256 of a token, and a note; SIGHUP reads it again:

  TOKEN=$(openssl rand -hex 32); printf %s "$TOKEN" | sha256sum >> tokens
"""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Sequence
from typing import Any

from absl import flags, logging

from meta_shrink.errors import UsageError, first_names
from meta_shrink.programs import cli
from meta_shrink.programs.loading import load_backbone
from meta_shrink.serving import options

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
ADAPTERS = flags.DEFINE_string("adapters", None, "Folder of the adapters.", required=True)
NAME = flags.DEFINE_string("name", "", "Name of the model in URLs; that of the backbone if empty.")
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
PORT = flags.DEFINE_integer("port", 8501, "Port; 0 for any free one.", 0, 65535)
MAX_RESIDENT = flags.DEFINE_integer("max_resident", 256, "Adapters kept in memory.", 1)
MAX_BATCH = flags.DEFINE_integer(
    "max_batch", 32, "Rows in one call of the network.", 1, options.MAX_BATCH
)
MAX_DELAY_MS = flags.DEFINE_float(
    "max_delay_ms", 2.0, "A row waits this long for others.", 0.0, options.MAX_DELAY_MS
)
MAX_QUEUE = flags.DEFINE_integer("max_queue", 1024, "Rows that may wait; more get 429.", 1)
LOADERS = flags.DEFINE_integer("loaders", 2, "Threads that load adapters.", 1)
MAX_BODY_MIB = flags.DEFINE_integer("max_body_mib", 16, "Size of a request; larger get 413.", 1)
BODY_SECONDS = flags.DEFINE_float(
    "body_seconds", 10.0, "For the body of a request; else 408.", 0.1, options.MAX_SECONDS
)
MAX_VOICES = flags.DEFINE_integer(
    "max_voices", 8, "Utterances at a time; more get 429.", 1, options.MAX_VOICES
)
MAX_TEXT = flags.DEFINE_integer("max_text", 1000, "Characters of an utterance.", 1)
MAX_SECONDS = flags.DEFINE_float(
    "max_seconds", 30.0, "Of sound, heard or spoken.", 0.01, options.MAX_SECONDS
)
PROSODY = flags.DEFINE_string("prosody", None, "Backbone of configs/prosody.py: says texts.")
LEXICON = flags.DEFINE_string("lexicon", None, "File of lines WORD PHONE PHONE ... (ARPAbet).")
TOKENS = flags.DEFINE_string("tokens", None, "File of the SHA-256 of the tokens that may ask.")
GRACE_SECONDS = flags.DEFINE_float(
    "grace_seconds", 30.0, "For requests in flight at the end.", 0.0, options.MAX_GRACE_SECONDS
)
CPU_THREADS = flags.DEFINE_integer("cpu_threads", 0, "TensorFlow's threads; 0: one per core.", 0)
WAITS = 2  # aiohttp waits twice for a request in flight: until it ends, and until it is given up.
TIMES = (MAX_DELAY_MS, BODY_SECONDS, MAX_SECONDS, GRACE_SECONDS)
SPEECH_FLAGS = (MAX_VOICES, MAX_TEXT, MAX_SECONDS, PROSODY, LEXICON)
for time in TIMES:  # NaN is neither above nor below the bounds of a flag.
    flags.register_validator(time, math.isfinite, "expected a number.")


def main(argv):
    """Serve until SIGTERM; see the module's docstring."""
    # Late, so that --help is quick.
    from aiohttp import web

    from meta_shrink.training.distribution import set_cpu_threads

    cli.no_arguments(argv)
    listener = bound_socket(HOST.value, PORT.value)
    set_cpu_threads(cpu_threads=CPU_THREADS.value)
    # Until it is there to read index.json again; the other signals end the loading.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = load()
    app = server.application()
    app.on_startup.append(lambda _: reload_on_hangup(server))
    url = f"http://{in_url(HOST.value)}:{listener.getsockname()[1]}/v1/models/{server.name}"
    web.run_app(
        app,
        sock=listener,
        shutdown_timeout=GRACE_SECONDS.value / WAITS,
        access_log=None,  # It would say who asks; /metrics counts.
        print=lambda _: print(f"Serving {url}"),
    )


def load() -> Any:
    """The Server of the flags."""
    # Late, so that --help is quick.
    from meta_shrink.backbones.voices import is_of_voices
    from meta_shrink.enrolment.served_voices import BackboneVoices
    from meta_shrink.serving.bank import AdapterBank
    from meta_shrink.serving.server import Server
    from meta_shrink.serving.speech_request import SpeechLimits
    from meta_shrink.serving.tokens import Tokens
    from meta_shrink.speech.lexicon import chosen_lexicon

    backbone = load_backbone(BACKBONE.value)
    voices = None
    if is_of_voices(backbone):
        prosody = load_backbone(PROSODY.value) if PROSODY.value else None
        how = {"prosody": prosody, "lexicon": chosen_lexicon(LEXICON.value)}
        voices = BackboneVoices(backbone, threads=CPU_THREADS.value, **how)
    elif given := [flag.name for flag in SPEECH_FLAGS if flag.present]:
        raise UsageError(f"--{given[0]} is of voices, and {BACKBONE.value} has none.")
    bank = AdapterBank(backbone, ADAPTERS.value, max_resident=MAX_RESIDENT.value)
    tell_others(bank.aliases(), bank.others())
    return Server(
        backbone,
        bank,
        name=NAME.value,
        max_body_bytes=MAX_BODY_MIB.value * 2**20,
        body_seconds=BODY_SECONDS.value,
        tokens=None if TOKENS.value is None else Tokens(TOKENS.value),
        voices=voices,
        speech_limits=SpeechLimits(MAX_VOICES.value, MAX_TEXT.value, MAX_SECONDS.value),
        max_batch=MAX_BATCH.value,
        max_queue=MAX_QUEUE.value,
        max_delay_ms=MAX_DELAY_MS.value,
        loaders=LOADERS.value,
    )


def tell_others(aliases: Sequence[str], others: Sequence[str]) -> None:
    """Name the aliases whose adapters are of another backbone: who asks for them is refused.

    Raises:
      UsageError: all of them are.
    """
    if not others:
        return
    told = (
        f"{len(others)} of {len(aliases)} names in {ADAPTERS.value}/index.json are of another "
        f"backbone than {BACKBONE.value}: {first_names(others)}"
    )
    if len(others) == len(aliases):
        raise UsageError(f"{told}; give the backbone and the adapters that belong together.")
    logging.warning("%s; they are refused: adapt these tasks again.", told)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket of that address: taken at once, so that a port in use is known before the load.

    It refuses connections until the server is ready and listens.

    Raises:
      UsageError: the address is empty, none, not of this machine, or in use.
    """
    if not host.strip():
        raise UsageError(
            "--host is empty, which would be all addresses of this machine: leave it out to "
            "listen on 127.0.0.1, or say --host=0.0.0.0 (--host=:: with IPv6)."
        )
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, TypeError) as error:  # TypeError: no name, but for its letters.
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--host={host} --port={port} cannot be bound: {reason}.") from error
    return listener


def in_url(host: str) -> str:
    """The address as URLs have it: IPv6 in brackets, with the % before a zone escaped."""
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


async def reload_on_hangup(server: Any) -> None:
    """Read the aliases again at SIGHUP."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload)
