"""One room per command, named like it; stages meet in files and never import each other."""
