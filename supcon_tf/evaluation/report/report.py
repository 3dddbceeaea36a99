"""robustness.json as a report for people: a list of sections."""

from collections.abc import Callable

from supcon_tf.evaluation.report.accuracy import accuracy, opening
from supcon_tf.evaluation.report.autoattack import autoattack
from supcon_tf.evaluation.report.checks import checks
from supcon_tf.evaluation.report.content import Content
from supcon_tf.evaluation.report.embedding import embedding
from supcon_tf.evaluation.report.pictures import pictures_of
from supcon_tf.evaluation.report.settings import settings
from supcon_tf.runs.files import write_text
from supcon_tf.runs.run_folder import RunFolder

# Each gives Markdown, or nothing where there is nothing to say.
SECTIONS: tuple[Callable[[Content], str], ...] = (
    opening,
    accuracy,
    autoattack,
    pictures_of("accuracy"),
    checks,
    embedding,
    pictures_of("embedding"),
    settings,
)


def write_report(folder: RunFolder, content: Content) -> None:
    """Writes report.md into a folder."""
    texts = filter(None, (section(content) for section in SECTIONS))
    write_text(folder.report_file, "\n\n".join(texts) + "\n")
