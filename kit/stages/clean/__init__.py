"""Cleaning: duplicates, contamination, doubtful images and labels, contact sheets."""
