"""Who listens: the verifier that was asked for, and distillmos where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meta_shrink.speech.recordings import Lexicon
from meta_shrink.speech.scores.compared import Sounds
from meta_shrink.speech.scores.intelligibility import MEANING
from meta_shrink.speech.scores.peers import distillmos, resemblyzer
from meta_shrink.speech.scores.score import Listeners
from meta_shrink.speech.scores.verifier_file import own_verifier


def listeners(
    real: Sounds,
    lexicon: Lexicon,
    verifier: str,
    corpus: str | None,
    path: str | None,
    log: Callable[[str], Any] = print,
) -> tuple[Listeners, dict[str, Any]]:
    """(The listeners, what the result is to say of them).

    Args:
      verifier: "own", of own_verifier(corpus, path), or "resemblyzer".

    Raises:
      UsageError, DataError, ArtefactError: as own_verifier and resemblyzer.
    """
    opinion, why = distillmos()
    if why:
        log(why)
    if verifier == "resemblyzer":
        embed, facts = resemblyzer(), {}
    else:
        own = own_verifier(corpus, path, real, log)
        embed, facts = own.hear, own.facts
    about: dict[str, Any] = {"verifier": {"name": verifier, **facts}, "left_out": [why] * bool(why)}
    about["intelligibility"] = MEANING
    return Listeners(embed, opinion, lexicon), about
