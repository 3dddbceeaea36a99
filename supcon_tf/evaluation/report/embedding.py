"""How well the models' embeddings separate the classes."""

from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.markdown import markdown_table
from supcon_tf.results.record import EvaluationResult

# Title: figure and form.
COLUMNS = {
    "kNN accuracy": ("knn_accuracy", "{:.1%}"),
    "linear probe": ("linear_probe_accuracy", "{:.1%}"),
    "cosine within classes": ("intra_class_cosine", "{:z.3f}"),
    "between classes": ("inter_class_cosine", "{:z.3f}"),
    "margin": ("margin_mean", "{:z.3f}"),
    "relative margin": ("relative_margin_mean", "{:z.4f}"),
}


def embedding(content: Content) -> str:
    """The table of each model's figures."""
    header, rows = _table(content.result)
    text = markdown_table(header, rows)
    if header == ["stage"]:
        text = (
            "Not measured: of another model than a ContrastiveClassifier it is not "
            "known which layer is the embedding."
        )
    return f"## Embedding\n\n{text}"


def _table(result: EvaluationResult) -> tuple[list[str], list[list[str]]]:
    rows = []
    for model in result.models:
        row = [model.stage]
        for key, form in COLUMNS.values():
            value = getattr(model.embedding, key)
            row.append("-" if value is None else form.format(value))
        rows.append(row)
    # A column that no stage fills, such as the linear probe's, only confuses.
    filled = [i for i in range(len(rows[0])) if any(row[i] != "-" for row in rows)]
    header = ["stage", *COLUMNS]
    return [header[i] for i in filled], [[row[i] for i in filled] for row in rows]
