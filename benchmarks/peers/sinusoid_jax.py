"""sigma-Reptile on the sinusoid in JAX: one jit, vmap over tasks, scan over steps (Eq. 10)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import workload

_ADAM_DECAY_1, _ADAM_DECAY_2, _ADAM_EPSILON = 0.9, 0.999, 1e-8


def build(
    num_tasks=5,
    num_steps=100,
    num_points=10,
    cg_steps=1,
    *,
    meta_steps_per_call=1,
    unroll=1,
    start=None,
):
    """Meta-training from `start` (phi, log_sigma2; default: `workload.initial_meta_params`).

    Returns `step()`: `meta_steps_per_call` meta-steps in one dispatch, sampling and Adam included;
    it waits for the result and returns log_sigma2 as numpy [6].
    """
    params = jax.tree.map(jnp.asarray, start or workload.initial_meta_params())
    moments = jax.tree.map(jnp.zeros_like, params)
    state = (params, moments, moments, jnp.zeros((), jnp.int32), jax.random.key(0))
    gradient = partial(_mean_gradient, num_steps=num_steps, cg_steps=cg_steps, unroll=unroll)

    def meta_step(state, _):
        (phi, log_sigma2), first, second, count, key = state
        key, task_key = jax.random.split(key)
        tasks = _sample_tasks(task_key, num_tasks, num_points)
        deltas = gradient(phi, log_sigma2, *tasks)
        return (*_adam((phi, log_sigma2), deltas, first, second, count), key), None

    @jax.jit
    def advance(state):
        if meta_steps_per_call == 1:
            return meta_step(state, None)[0]
        return jax.lax.scan(meta_step, state, length=meta_steps_per_call)[0]

    def step():
        nonlocal state
        state = jax.block_until_ready(advance(state))
        return np.asarray(state[0][1])

    return step


def meta_gradient(
    phi, log_sigma2, x_train, y_train, x_val, y_val, *, num_steps=100, cg_steps=1
) -> tuple[list[np.ndarray], np.ndarray]:
    """Delta_phi (list) and Delta_log_sigma2 [6], averaged over tasks, all numpy.

    The data are [tasks, points, 1].
    """
    gradient = jax.jit(partial(_mean_gradient, num_steps=num_steps, cg_steps=cg_steps, unroll=1))
    deltas = gradient(list(phi), log_sigma2, x_train, y_train, x_val, y_val)
    return jax.tree.map(np.asarray, deltas)


def _sample_tasks(key, num_tasks, num_points):
    """x_train, y_train, x_val, y_val, each [tasks, points, 1], from one call of the generator."""
    unit = jax.random.uniform(key, (num_tasks, 2 + 2 * num_points, 1))
    amplitude = _stretch(unit[:, :1], workload.AMPLITUDE_RANGE)
    phase = _stretch(unit[:, 1:2], workload.PHASE_RANGE)
    x = _stretch(unit[:, 2:], workload.INPUT_RANGE)
    y = amplitude * jnp.sin(x - phase)
    return x[:, :num_points], y[:, :num_points], x[:, num_points:], y[:, num_points:]


def _stretch(unit, interval):
    low, high = interval
    return low + (high - low) * unit


def _adam(params, deltas, first, second, count):
    count = count + 1
    first = jax.tree.map(lambda m, g: m + (1 - _ADAM_DECAY_1) * (g - m), first, deltas)
    second = jax.tree.map(lambda v, g: v + (1 - _ADAM_DECAY_2) * (g * g - v), second, deltas)
    correction_1, correction_2 = 1 - _ADAM_DECAY_1**count, 1 - _ADAM_DECAY_2**count

    def update(rate, value, m, v):
        denominator = jnp.sqrt(v / correction_2) + _ADAM_EPSILON
        return value - rate * (m / correction_1) / denominator

    phi = jax.tree.map(partial(update, workload.PHI_LEARNING_RATE), params[0], first[0], second[0])
    log_sigma2 = update(workload.LOG_SIGMA2_LEARNING_RATE, params[1], first[1], second[1])
    return (phi, jnp.clip(log_sigma2, *workload.LOG_SIGMA2_RANGE)), first, second, count


def _mean_gradient(phi, log_sigma2, x_train, y_train, x_val, y_val, *, num_steps, cg_steps, unroll):
    one_task = partial(
        _task_gradient,
        phi,
        jnp.exp(-log_sigma2),
        num_steps=num_steps,
        cg_steps=cg_steps,
        unroll=unroll,
    )
    deltas = jax.vmap(one_task)(x_train, y_train, x_val, y_val)
    return jax.tree.map(lambda delta: jnp.mean(delta, axis=0), deltas)


def _task_gradient(phi, precision, x_train, y_train, x_val, y_val, *, num_steps, cg_steps, unroll):
    lambdas = list(precision)
    theta = _adapt(phi, lambdas, x_train, y_train, num_steps, unroll)
    val_gradient = jax.grad(_mse)(theta, x_val, y_val)
    train_gradient = jax.grad(partial(_mse, x=x_train, y=y_train))

    def matvec(vector):
        product = jax.grad(lambda point: _dot(train_gradient(point), vector))(theta)
        return [
            h + (lam + workload.DAMPING) * v
            for h, lam, v in zip(product, lambdas, vector, strict=True)
        ]

    preconditioner = [jnp.maximum(lam / 1e3, 1.0) for lam in lambdas]
    u = _conjugate_gradient(matvec, val_gradient, preconditioner, cg_steps)
    scaled = [lam * (t - p) for lam, t, p in zip(lambdas, theta, phi, strict=True)]
    beta = workload.INVERSE_GAMMA_BETA
    delta_log_sigma2 = jnp.stack([jnp.sum(a * s) for a, s in zip(u, scaled, strict=True)])
    return [-s for s in scaled], delta_log_sigma2 + beta * (2.0 - beta * precision)


def _adapt(phi, lambdas, x, y, num_steps, unroll):
    """Proximal gradient descent (Alg. 2) from phi."""
    rate = workload.TASK_LEARNING_RATE
    shrink = [1.0 / (1.0 + rate * lam) for lam in lambdas]

    def proximal_step(theta, _):
        gradient = jax.grad(_mse)(theta, x, y)
        theta = [
            (t - rate * g - p) * s + p
            for t, g, p, s in zip(theta, gradient, phi, shrink, strict=True)
        ]
        return theta, None

    return jax.lax.scan(proximal_step, phi, length=num_steps, unroll=unroll)[0]


def _mse(theta, x, y):
    w0, b0, w1, b1, w2, b2 = theta
    hidden = jax.nn.relu(x @ w0 + b0)
    hidden = jax.nn.relu(hidden @ w1 + b1)
    return jnp.mean((hidden @ w2 + b2 - y) ** 2)


def _conjugate_gradient(matvec, b, preconditioner, num_steps):
    x = [jnp.zeros_like(v) for v in b]
    residual = list(b)
    scaled = [r / p for r, p in zip(residual, preconditioner, strict=True)]
    direction, rho = scaled, _dot(residual, scaled)
    for _ in range(num_steps):
        image = matvec(direction)
        length = rho / _dot(direction, image)
        x = [v + length * d for v, d in zip(x, direction, strict=True)]
        residual = [r - length * h for r, h in zip(residual, image, strict=True)]
        scaled = [r / p for r, p in zip(residual, preconditioner, strict=True)]
        rho, previous = _dot(residual, scaled), rho
        direction = [s + rho / previous * d for s, d in zip(scaled, direction, strict=True)]
    return x


def _dot(left, right):
    return sum(jnp.sum(a * b) for a, b in zip(left, right, strict=True))
