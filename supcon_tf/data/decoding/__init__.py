"""From encoded bytes to pixels: by Pillow, and within a graph, alike."""
