"""Bisection: which change between two versions made the newer one worse."""
