"""What the figures share."""

from pathlib import Path

from matplotlib.figure import Figure

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
    """Writes a figure as a PNG."""
    figure.savefig(path, dpi=DPI, format="png")
