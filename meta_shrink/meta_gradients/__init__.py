"""Rows of Table 1: factories of (MetaParams, Task, Adapt) -> (Delta, metrics), and
what each learns."""

from collections.abc import Callable
from typing import NamedTuple

from meta_shrink.meta_gradients.imaml import hessian_of, imaml, implicit_gradient
from meta_shrink.meta_gradients.maml import fomaml, maml
from meta_shrink.meta_gradients.reptile import reptile, sigma_reptile
from meta_shrink.types import MetaGradient

LOSSES = ("nll_val", "nll_train")
SOLVE = ("cg/residual_norm", "cg/curvature_min", "cg/breakdown")


class Method(NamedTuple):
    """A meta-gradient and its facts.

    factory: (nll, registry, **options) -> MetaGradient; one that solves also gets `solve` and
        `hessian`, made of the options that damped_solve and hessian_of take.
    learns: components of Phi that it has a gradient for.
    metrics: names of the metrics it returns.
    needs_prior: whether sigma^2 = inf leaves it without a gradient.
    in_chunks: whether it needs the adapted parameters only, however they were reached.
    """

    factory: Callable[..., MetaGradient]
    learns: tuple[str, ...]
    metrics: tuple[str, ...]
    needs_prior: bool
    in_chunks: bool

    @property
    def solves(self) -> bool:
        """Whether it solves a linear system with the Hessian."""
        return set(SOLVE) <= set(self.metrics)

    @property
    def differentiates_twice(self) -> bool:
        """Whether it solves so, or differentiates through the steps of adaptation."""
        return self.solves or not self.in_chunks


META_GRADIENTS = {
    "maml": Method(
        maml, ("phi", "log_sigma2", "log_alpha"), LOSSES, needs_prior=False, in_chunks=False
    ),
    "fomaml": Method(fomaml, ("phi",), LOSSES, needs_prior=False, in_chunks=True),
    "imaml": Method(imaml, ("phi", "log_sigma2"), LOSSES + SOLVE, needs_prior=True, in_chunks=True),
    "reptile": Method(reptile, ("phi",), LOSSES, needs_prior=False, in_chunks=True),
    "sigma_reptile": Method(
        sigma_reptile, ("phi", "log_sigma2"), LOSSES + SOLVE, needs_prior=True, in_chunks=True
    ),
}

__all__ = [
    "META_GRADIENTS",
    "Method",
    "fomaml",
    "hessian_of",
    "imaml",
    "implicit_gradient",
    "maml",
    "reptile",
    "sigma_reptile",
]
