"""The map of the project, its hooks and its changelog are those of the tree."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def packages_of_the_map():
    """Paths of what the map of CONTRIBUTING.md has below supcon_tf/."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    lines = text.split("supcon_tf/\n", 1)[1].split("\n```", 1)[0].splitlines()
    found, parents = {}, ["supcon_tf"]
    for line in lines:
        entry = re.match(r"( *)(\w+)/ +(\S.*)", line)
        if not entry or not entry[1]:
            break
        depth = len(entry[1]) // 2
        parents = [*parents[:depth], entry[2]]
        found["/".join(parents)] = entry[3]
    return found


def test_every_package_is_in_the_map_and_has_a_line():
    there = {
        file.parent.relative_to(ROOT).as_posix()
        for file in (ROOT / "supcon_tf").rglob("__init__.py")
    }
    assert set(packages_of_the_map()) == there - {"supcon_tf"}


def test_other_places_of_the_map_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    places = re.findall(r"^([\w.]+/?) {2,}\S", text, re.M)
    assert len(places) > 5
    for place in places:
        assert (ROOT / place).exists(), place


def test_hooks_run_the_versions_that_are_pinned():
    constraints = (ROOT / "constraints.txt").read_text()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    pinned = re.findall(r'"(\w+==[\d.]+)"', hooks)
    assert {pin.split("==")[0] for pin in pinned} == {"ruff"}
    for pin in pinned:
        assert f"\n{pin}\n" in constraints
    for hook in ("ruff check", "ruff format", "mypy"):
        assert f"name: {hook}\n" in hooks


def test_the_changelog_has_the_present_version():
    from supcon_tf import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)", text, re.M)
    assert headings[0].startswith(("Unreleased", __version__))
    assert any(heading.startswith(__version__) for heading in headings)
