"""Compiles meta-steps for TPUs that are not there, and measures what the compiler says of them."""
