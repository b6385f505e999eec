"""From a config to a run: build, train, restore, evaluate, sweep, export."""
