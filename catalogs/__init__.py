"""Numbers about the world, each with its source: events, endpoints, presets and grids. No code."""
