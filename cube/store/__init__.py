"""The cube on disk: template, block writing, stages, resume, and opening it again."""
