"""Speech: from recordings to what a vocoder is trained on, and what it hears of a text."""
