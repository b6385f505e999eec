"""Serving one backbone with many adapters."""
