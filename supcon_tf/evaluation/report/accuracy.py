"""The report's beginning: what withstands attacks, in a sentence and in a table."""

from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.accuracy import accuracy_table, headline, reading
from supcon_tf.results.markdown import markdown_table, plain


def opening(content: Content) -> str:
    """Title, robust accuracy in words, and what was evaluated."""
    title = f"# {plain(content.name)}: accuracy under attack"
    parts = [title, headline(content.result), content.introduction]
    return "\n\n".join(filter(None, parts))


def accuracy(content: Content) -> str:
    """The table, and what its cells are."""
    table = markdown_table(*accuracy_table(content.result))
    parts = ["## Accuracy", table, reading(content.result)]
    return "\n\n".join(filter(None, parts))
