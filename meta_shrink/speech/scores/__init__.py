"""How good a voice is: like its speaker, natural, intelligible; each beside real recordings."""
