"""How tokens are drawn and what is asked, by successive halving on a pilot set."""
