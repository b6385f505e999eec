"""sigma-Reptile on the sinusoid in plain eager PyTorch: a loop over tasks and steps (Eq. 10)."""

import numpy as np
import torch

from benchmarks.peers import workload


def build(num_tasks=5, num_steps=100, num_points=10, cg_steps=1, *, num_threads=1, start=None):
    """Meta-training from `start` (phi, log_sigma2; default: `workload.initial_meta_params`).

    Returns `step()`: one meta-step with `num_threads` intra-op threads; log_sigma2 as numpy [6].
    """
    phi, log_sigma2 = _as_parameters(*(start or workload.initial_meta_params()))
    optimizer = torch.optim.Adam(
        [
            {"params": phi, "lr": workload.PHI_LEARNING_RATE},
            {"params": [log_sigma2], "lr": workload.LOG_SIGMA2_LEARNING_RATE},
        ]
    )

    def step():
        torch.set_num_threads(num_threads)
        tasks = [_sample_task(num_points) for _ in range(num_tasks)]
        delta_phi, delta_log_sigma2 = _mean_gradient(phi, log_sigma2, tasks, num_steps, cg_steps)
        for variable, delta in zip(phi, delta_phi, strict=True):
            variable.grad = delta
        log_sigma2.grad = delta_log_sigma2
        optimizer.step()
        with torch.no_grad():
            log_sigma2.clamp_(*workload.LOG_SIGMA2_RANGE)
        return log_sigma2.detach().numpy().copy()

    return step


def meta_gradient(
    phi, log_sigma2, x_train, y_train, x_val, y_val, *, num_steps=100, cg_steps=1
) -> tuple[list[np.ndarray], np.ndarray]:
    """Delta_phi (list) and Delta_log_sigma2 [6], averaged over tasks, all numpy.

    The data are [tasks, points, 1].
    """
    phi, log_sigma2 = _as_parameters(phi, log_sigma2)
    arrays = (torch.from_numpy(array) for array in (x_train, y_train, x_val, y_val))
    tasks = list(zip(*arrays, strict=True))
    delta_phi, delta_log_sigma2 = _mean_gradient(phi, log_sigma2, tasks, num_steps, cg_steps)
    return [delta.numpy() for delta in delta_phi], delta_log_sigma2.numpy()


def _as_parameters(phi, log_sigma2):
    phi = [torch.tensor(array, requires_grad=True) for array in phi]
    return phi, torch.tensor(log_sigma2, requires_grad=True)


def _sample_task(num_points):
    amplitude = torch.empty(1).uniform_(*workload.AMPLITUDE_RANGE)
    phase = torch.empty(1).uniform_(*workload.PHASE_RANGE)
    x = torch.empty(2 * num_points, 1).uniform_(*workload.INPUT_RANGE)
    y = amplitude * torch.sin(x - phase)
    return x[:num_points], y[:num_points], x[num_points:], y[num_points:]


def _mean_gradient(phi, log_sigma2, tasks, num_steps, cg_steps):
    phi = [variable.detach() for variable in phi]
    precision = torch.exp(-log_sigma2.detach())
    gradients = [_task_gradient(phi, precision, task, num_steps, cg_steps) for task in tasks]
    per_variable = zip(*(delta_phi for delta_phi, _ in gradients), strict=True)
    delta_phi = [torch.stack(deltas).mean(dim=0) for deltas in per_variable]
    return delta_phi, torch.stack([delta for _, delta in gradients]).mean(dim=0)


def _task_gradient(phi, precision, task, num_steps, cg_steps):
    x_train, y_train, x_val, y_val = task
    lambdas = precision.unbind()
    theta = _adapt(phi, lambdas, x_train, y_train, num_steps)
    val_gradient = torch.autograd.grad(_mse(theta, x_val, y_val), theta)
    train_gradient = torch.autograd.grad(_mse(theta, x_train, y_train), theta, create_graph=True)

    def matvec(vector):
        product = torch.autograd.grad(train_gradient, theta, vector, retain_graph=True)
        return [
            h + (lam + workload.DAMPING) * v
            for h, lam, v in zip(product, lambdas, vector, strict=True)
        ]

    preconditioner = [torch.clamp(lam / 1e3, min=1.0) for lam in lambdas]
    u = _conjugate_gradient(matvec, val_gradient, preconditioner, cg_steps)
    scaled = [lam * (t.detach() - p) for lam, t, p in zip(lambdas, theta, phi, strict=True)]
    beta = workload.INVERSE_GAMMA_BETA
    delta_log_sigma2 = torch.stack([torch.sum(a * s) for a, s in zip(u, scaled, strict=True)])
    return [-s for s in scaled], delta_log_sigma2 + beta * (2.0 - beta * precision)


def _adapt(phi, lambdas, x, y, num_steps):
    """Proximal gradient descent (Alg. 2) from phi; returns leaves that require gradients."""
    rate = workload.TASK_LEARNING_RATE
    shrink = [1.0 / (1.0 + rate * lam) for lam in lambdas]
    theta = [p.clone().requires_grad_() for p in phi]
    for _ in range(num_steps):
        gradient = torch.autograd.grad(_mse(theta, x, y), theta)
        with torch.no_grad():
            theta = [
                torch.lerp(p, torch.sub(t, g, alpha=rate), s)
                for t, g, p, s in zip(theta, gradient, phi, shrink, strict=True)
            ]
        theta = [t.requires_grad_() for t in theta]
    return theta


def _mse(theta, x, y):
    w0, b0, w1, b1, w2, b2 = theta
    hidden = torch.relu(torch.addmm(b0, x, w0))
    hidden = torch.relu(torch.addmm(b1, hidden, w1))
    return torch.mean((torch.addmm(b2, hidden, w2) - y) ** 2)


def _conjugate_gradient(matvec, b, preconditioner, num_steps):
    x = [torch.zeros_like(v) for v in b]
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
    return sum(torch.sum(a * b) for a, b in zip(left, right, strict=True))
