"""How training images are varied: pure functions of images and a seed."""
