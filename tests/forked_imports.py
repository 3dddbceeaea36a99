"""All that commands need is imported with this, and nothing begun."""

import gc
import importlib

from supcon_tf.runtime.environment import prepare_environment

prepare_environment()
for package in ("training", "evaluation", "export"):
    importlib.import_module(f"supcon_tf.{package}.run")

# Children have it in common, unless something were to look through it for garbage.
gc.freeze()
gc.set_threshold(100_000, 50, 100)
