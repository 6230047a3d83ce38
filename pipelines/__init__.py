"""Steps in order: what the commands do. No arithmetic and no array code."""
