"""What the report's figures were made with."""

from typing import Any

from supcon_tf.config.options import options_of, plain_number
from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.markdown import plain
from supcon_tf.results.typed_json import Json


def settings(content: Content) -> str:
    """Where data and model come from, the flags, the versions, the attacks."""
    result = content.result
    options = result.made_with()
    flags = " ".join(
        f"--{field.name}={_flag(value)}"
        for field, _ in options_of(options)
        if (value := getattr(options, field.name)) != ""
    )
    lines = [
        *content.origin,
        f"flags of evaluation: {flags}",
        "outcome of each image: robustness.npz",
        "versions: " + ", ".join(f"{k} {v}" for k, v in result.versions.items()),
    ]
    made = {row.name: row.parameters for row in result.final.attacks or ()}
    lines += [
        f"{name}: "
        + ", ".join(f"{k} {_text(v)}" for k, v in given.items() if k != "step_size")
        for name, given in made.items()
    ]
    return "## Settings\n\n" + "\n".join(f"- {line}" for line in lines)


def _flag(value: Any) -> str:
    several = isinstance(value, tuple)
    return plain(",".join(map(plain_number, value)) if several else str(value))


def _text(value: Json) -> str:
    """A parameter of an attack; of the attacks it is made of, their names."""
    if isinstance(value, list):
        return " then ".join(member["name"] for member in value)
    return str(value)
