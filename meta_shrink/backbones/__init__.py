"""From a trained network to files that run without its code: SavedModel and LiteRT."""
