"""Contracts, privacy and erasure, measured: a module for each section."""
