"""How hard a model is to fool, and whether that figure can be believed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supcon_tf.evaluation.model_evaluation import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    # `python -m supcon_tf.evaluation` imports this package before it reads its flags,
    # which shall not wait for TensorFlow.
    if name == "evaluate":
        from supcon_tf.evaluation.model_evaluation import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
