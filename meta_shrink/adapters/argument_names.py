"""Names of inputs and adapter tensors as arguments of signatures."""

from __future__ import annotations

import re


def argument_name(tensor: str) -> str:
    """The name of an input or adapter tensor as an argument of a signature: letters, digits and _.

    "conv_0/kernel" is conv_0__kernel; any other character is its code, "conv-1/kernel" is
    conv_u2d_1__kernel; "1x1" gets a letter in front. TensorFlow would rewrite such names its own
    way.
    """
    parts = (
        re.sub("[^A-Za-z0-9_]", lambda found: f"_u{ord(found[0]):x}_", part)
        for part in tensor.split("/")
    )
    name = "__".join(parts)
    return name if re.match("[A-Za-z]", name) and name != "self" else f"n_{name}"
