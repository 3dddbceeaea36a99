"""`python -m supcon_tf.train` in a checkout; a wheel has its train.py in this place."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    # The story of a run is told once.
    runpy.run_path(str(Path(__file__).parents[2] / "train.py"), run_name="__main__")
