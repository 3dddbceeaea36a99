"""What TensorBoard shows: scalars, images, the embedding projector."""
