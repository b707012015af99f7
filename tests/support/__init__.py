"""Helpers of the tests: small models and data, fakes of ports, damage, the command line."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
