"""The losses as slow loops, to be checked by eye against the formulas they follow."""

import math

import numpy as np


def supervised_contrastive(labels, embeddings, temperature, variant="out"):
    """Khosla et al. 2020, equation 2 (out) or 3 (in), over anchors with a positive."""
    z = _unit_rows(embeddings)
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if not positives:
            continue
        exps = {a: math.exp(z[i] @ z[a] / temperature) for a in others}
        ratios = [exps[p] / sum(exps.values()) for p in positives]
        if variant == "out":
            losses.append(-np.mean(np.log(ratios)))
        else:
            losses.append(-np.log(np.mean(ratios)))
    return np.mean(losses) if losses else 0.0


def margin_contrastive(labels, embeddings, positive_margin, negative_margin):
    """Squared violations of the two margins, each averaged over its violations."""
    z = _unit_rows(embeddings)
    positive, negative = [], []
    for i in range(len(z)):
        for j in range(len(z)):
            cosine = z[i] @ z[j]
            if i == j:
                continue
            if labels[i] == labels[j] and cosine < positive_margin:
                positive.append((positive_margin - cosine) ** 2)
            if labels[i] != labels[j] and cosine > negative_margin:
                negative.append((cosine - negative_margin) ** 2)
    return sum(np.mean(violations) for violations in (positive, negative) if violations)


def multiclass_hinge(labels, logits, margin, variant="max"):
    """Crammer-Singer (max) or Weston-Watkins (sum), averaged over the rows."""
    losses = []
    for label, row in zip(labels, np.asarray(logits, np.float64), strict=True):
        hinges = [
            max(0.0, margin + row[j] - row[label])
            for j in range(len(row))
            if j != label
        ]
        losses.append(max(hinges) if variant == "max" else sum(hinges))
    return np.mean(losses)


def cross_entropy(labels, logits, label_smoothing=0.0):
    """Of the softmax of each row, averaged over the rows.

    The target is the label's own class, but for a share that all classes have evenly.
    """
    losses = []
    for label, row in zip(labels, np.asarray(logits, np.float64), strict=True):
        log_sum = math.log(sum(math.exp(logit) for logit in row))
        by_class = [log_sum - logit for logit in row]
        evenly = sum(by_class) / len(by_class)
        losses.append(
            (1 - label_smoothing) * by_class[label] + label_smoothing * evenly
        )
    return np.mean(losses)


def numerical_gradient(function, point, step=1e-6):
    """Central differences of a scalar function, one coordinate after another."""
    gradient = np.zeros_like(point)
    for index in np.ndindex(*point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        difference = function(point + shift) - function(point - shift)
        gradient[index] = difference / (2 * step)
    return gradient


def _unit_rows(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
