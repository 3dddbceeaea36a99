"""What the figures share."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from supcon_tf.visualization.names import fonts_for

DPI = 120
# Paul Tol's "bright" and "muted" hues: told apart with any kind of colour vision.
STAGE_COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
CLASS_COLOURS = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
    "#7A7A7A",
)


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure as a PNG, with every text as it is."""
    texts = figure.findobj(Text)
    families, _ = fonts_for("".join(text.get_text() for text in texts))
    for text in texts:
        # To matplotlib a name with two dollar signs would be a formula.
        text.set_parse_math(False)
        text.set_fontfamily([*text.get_fontfamily(), *families])
    figure.savefig(path, dpi=DPI, format="png")
