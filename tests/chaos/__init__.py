"""Attacks on a real gateway process, beside 50 good calls that must not notice."""
