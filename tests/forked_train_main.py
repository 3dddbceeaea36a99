"""All that `train.py` needs is imported with this, and nothing begun."""

from tests.shallow_train import train_main

main = train_main()
