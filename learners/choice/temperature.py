"""Where ``best_temperature`` was before it moved to ``learners/temperature.py``."""

from learners.temperature import best_temperature as best_temperature
