"""When APGD halves its steps, against a loop over one image's whole history."""

import numpy as np

from supcon_tf.attacks.step_sizes import StepSizes, checkpoint_gaps


def slow_run(start, losses):
    """After each step of an image: step size, best loss, is it new, goes it back."""
    count = len(losses)
    gap = max(int(0.22 * count), 1)
    step, best, best_before, halved = 2.0, start, start, True
    since, found = 0, []
    for i, loss in enumerate(losses):
        is_best, back, since = loss > best, False, since + 1
        best = max(best, loss)
        if since == gap:
            history = [0.0, *losses]
            rises = sum(history[j + 1] > history[j] for j in range(i - gap + 1, i + 1))
            back = rises <= 0.75 * gap or (not halved and best_before >= best)
            halved, best_before = back, best
            step = step / 2 if back else step
            gap = max(gap - max(int(0.03 * count), 1), max(int(0.06 * count), 1))
            since = 0
        found.append((step, best, is_best, back))
    return found


def test_checkpoints_of_100_steps_are_the_papers():
    assert (np.flatnonzero(checkpoint_gaps(100)) + 1).tolist() == [
        *(22, 41, 57, 70, 80, 87, 93, 99)
    ]
    for steps in (1, 2, 7):
        gaps = checkpoint_gaps(steps)
        assert gaps.sum() <= steps == len(gaps)


def test_each_image_fares_as_alone():
    rng = np.random.default_rng(0)
    for steps in (1, 10, 100):
        # Losses that rise almost always, often, seldom, never and not at all.
        drift = np.repeat([2.0, 0.7, 0.3, -1.0, 0.0], 4)
        noise = rng.normal(size=(steps, 20)) * (drift != 0)
        losses = np.cumsum(noise + drift, axis=0).astype(np.float32)
        start = rng.normal(size=20).astype(np.float32)
        sizes = StepSizes(steps)
        state = sizes.start(start, 2.0)
        found = []
        for i, loss in enumerate(losses):
            state, best, back = sizes.advance(state, np.full(20, i), loss)
            found.append((state["step_size"], state["best_loss"], best, back))
        for image in range(20):
            history = losses[:, image].astype(float).tolist()
            slow = slow_run(float(start[image]), history)
            assert [tuple(v[image] for v in row) for row in found] == slow
    # Of a loss that always rises no step is halved, of the others each at its own time.
    halvings = np.log2(2.0 / found[-1][0])
    assert halvings[0] == 0
    assert len(set(halvings)) > 3


def test_images_at_different_steps_share_a_batch():
    sizes = StepSizes(100)
    rng = np.random.default_rng(1)
    losses = rng.normal(size=(2, 60))
    whole = sizes.start(losses[:, 0], 1.0)
    for i in range(1, 60):
        whole, _, _ = sizes.advance(whole, np.array([i - 1, i - 1]), losses[:, i])
    # The second one begins ten steps later.
    late = sizes.start(losses[:1, 0], 1.0)
    for i in range(1, 11):
        late, _, _ = sizes.advance(late, np.array([i - 1]), losses[:1, i])
    fresh = sizes.start(losses[1:, 0], 1.0)
    both = {name: np.concatenate([late[name], fresh[name]]) for name in late}
    for i in range(11, 60):
        steps = np.array([i - 1, i - 11])
        both, _, _ = sizes.advance(
            both, steps, np.array([losses[0, i], losses[1, i - 10]])
        )
    for name, value in both.items():
        assert value[0] == whole[name][0]
