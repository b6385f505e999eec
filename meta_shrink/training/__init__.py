"""Meta-training: the meta-step, its variables, the loop over it, the strategies."""
