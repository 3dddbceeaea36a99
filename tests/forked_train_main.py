"""All that `train.py` needs is imported with this, and nothing begun."""

import gc

from tests.shallow_train import train_main

main = train_main()
# Children have it in common, unless something were to look through it for garbage.
gc.freeze()
gc.set_threshold(100_000, 50, 100)
