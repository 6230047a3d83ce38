"""What others see of a cube: pictures now, STAC Items and exports later."""
