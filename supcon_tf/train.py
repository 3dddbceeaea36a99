"""`python -m supcon_tf.train` in a checkout; a wheel has its train.py in this place."""

import runpy
from pathlib import Path

# The story of a run is told once. What it defines is defined here as well.
globals().update(
    runpy.run_path(str(Path(__file__).parents[1] / "train.py"), run_name=__name__)
)
