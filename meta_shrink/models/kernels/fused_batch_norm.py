"""TensorFlow's fused batch normalisation with a second derivative of two passes.

TensorFlow differentiates the fused gradient by writing it out as some forty small operations.
Written as one formula, its derivative is the fused gradient once more and a weighted sum of three
images; a Hessian-vector product has one for each batch normalisation. Back-propagation through a
loop of adaptation steps (MAML) also fails with TensorFlow's own: the loop would keep outputs of the
fused gradient whose static shape is wrong.
"""

from __future__ import annotations

import tensorflow as tf

AXES = [0, 1, 2]


def fused_batch_norm(
    images: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(normalised images [N,H,W,C], mean [C], biased variance [C]) of float32 images [N,H,W,C].

    The moments have no gradient of their own.
    """

    @tf.custom_gradient
    def normalise(x, scale, offset):
        outputs, mean, unbiased, *reserved = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
        )
        count = _count(x, mean)
        variance = unbiased * (count - 1) / count
        saved = (x, scale, mean, variance, *reserved)
        return (outputs, mean, variance), lambda dy, *_: _gradient(dy, *saved, epsilon=epsilon)

    # A custom gradient takes no variables.
    return normalise(images, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def _count(x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Numbers behind each mean, as a float32."""
    return tf.cast(tf.size(x) / tf.size(mean), tf.float32)


def _gradient(dy, x, scale, mean, variance, *reserved, epsilon: float):
    """(dx, dscale, doffset) by the fused kernel."""

    def kernel(y_backprop: tf.Tensor):
        names = ("reserve_space_1", "reserve_space_2", "reserve_space_3")
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=y_backprop,
            x=x,
            scale=scale,
            epsilon=epsilon,
            **dict(zip(names, reserved, strict=True)),
        )[:3]

    @tf.custom_gradient
    def gradient(dy, x, scale):
        results = kernel(dy)
        return results, lambda *v: _second(
            v, kernel, dy, x, scale, mean, variance, results, epsilon
        )

    return gradient(dy, x, scale)


def _second(v, kernel, dy, x, scale, mean, variance, results, epsilon: float):
    """Gradient of <v, (dx, dscale, doffset)> in (dy, x, scale).

    With z = (x - mean) r, r = 1/sqrt(variance + epsilon), and means over a channel:
    dx = scale r (dy - mean(dy) - z mean(dy z)), dscale = sum dy z, doffset = sum dy.
    """
    v_x, v_scale, v_offset = v
    count, r = _count(x, mean), tf.math.rsqrt(variance + epsilon)
    # The kernel applied to v_x: its dx, and sums of v_x z and of v_x.
    of_v, sum_vz, sum_v = kernel(v_x)
    mean_vz, mean_v = sum_vz / count, sum_v / count
    mean_dyz, mean_dy = results[1] / count, results[2] / count
    covariance = tf.reduce_mean(v_x * dy, AXES) - mean_v * mean_dy - mean_vz * mean_dyz
    scale_r2 = scale * r * r
    of_vx = -scale_r2 * mean_dyz
    of_dy = v_scale * r - scale_r2 * mean_vz
    of_z = scale_r2 * (mean_dyz * mean_vz - covariance) - of_dy * mean_dyz
    constant = scale_r2 * mean_dyz * mean_v - of_dy * mean_dy
    grad_x = tf.add_n([of_vx * v_x, of_dy * dy, (of_z * r) * x])
    grad_x = tf.nn.bias_add(grad_x, constant - of_z * r * mean)
    grad_dy = of_v + tf.nn.bias_add((v_scale * r) * x, v_offset - v_scale * r * mean)
    return grad_dy, grad_x, count * r * covariance
