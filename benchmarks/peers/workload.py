"""The work that every peer of `benchmarks.sinusoid` does, as numbers (App. E.3, Table 7).

Parameters are the list `w0 [1, 40], b0 [40], w1 [40, 40], b1 [40], w2 [40, 1], b2 [1]`, one
module per variable; a task is `y = a sin(x - b)`, and the loss is the mean over its points.
"""

import numpy as np

HIDDEN_UNITS = 40
TASK_LEARNING_RATE = 3.9e-4
PHI_LEARNING_RATE = 5.7e-3
LOG_SIGMA2_LEARNING_RATE = 1.8e-3
DAMPING = 0.5
INVERSE_GAMMA_BETA = 1e-5
AMPLITUDE_RANGE = (0.1, 5.0)
PHASE_RANGE = (0.0, np.pi)
INPUT_RANGE = (-5.0, 5.0)
LOG_SIGMA2_RANGE = (float(np.log(1e-5)), float(np.log(1e5)))


def initial_meta_params(seed=0):
    """Starting point of all peers: phi (list of six float32 arrays) and log_sigma2 [6] = 0."""
    rng = np.random.default_rng(seed)
    phi = []
    for fan_in, fan_out in ((1, HIDDEN_UNITS), (HIDDEN_UNITS, HIDDEN_UNITS), (HIDDEN_UNITS, 1)):
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        phi.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32))
        phi.append(np.zeros(fan_out, np.float32))
    return phi, np.zeros(len(phi), np.float32)


def sample_tasks(num_tasks=5, num_points=10, seed=0):
    """Fixed tasks for comparing peers: x_train, y_train, x_val, y_val, each [tasks, points, 1]."""
    rng = np.random.default_rng(seed)
    amplitude = rng.uniform(*AMPLITUDE_RANGE, (num_tasks, 1, 1))
    phase = rng.uniform(*PHASE_RANGE, (num_tasks, 1, 1))
    x = rng.uniform(*INPUT_RANGE, (num_tasks, 2 * num_points, 1))
    y = amplitude * np.sin(x - phase)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return x[:, :num_points], y[:, :num_points], x[:, num_points:], y[:, num_points:]
