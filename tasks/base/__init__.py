"""Settings, progress and what people look at: what every other wing uses."""
