"""Adapters: small safetensors files with the task-specific modules of one task. No TensorFlow."""
