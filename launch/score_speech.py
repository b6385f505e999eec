"""`python -m launch.score_speech` is `meta-shrink score-speech`."""

from meta_shrink.programs.command_line import start

if __name__ == "__main__":
    start("score-speech", "python -m launch.score_speech")
