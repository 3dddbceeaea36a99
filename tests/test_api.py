"""docs/api.md is what docs/make_api.py writes, of names that are there."""

from pathlib import Path

from docs.make_api import FILE, PACKAGES, api, entry, public_names


def test_the_list_of_public_names_is_up_to_date():
    message = "run `python docs/make_api.py`"
    assert FILE.read_text() == api(), message


def test_every_public_name_says_what_it_is():
    for package in PACKAGES:
        names = dict(public_names(f"supcon_tf.{package}"))
        assert names, package
        for name, thing in names.items():
            text = entry(name, thing)
            assert f"### {name}\n" in text
            if callable(thing):
                assert text.rstrip().splitlines()[-1].strip(), name
                assert "```\n\n\n" not in text, f"{name} has no docstring"


def test_signatures_are_those_of_the_source():
    class Example:
        """The first paragraph,
        in two lines.

        The second.
        """

        def measure(self, epsilon: float = 8 / 255, *, names: tuple = ()) -> int:
            """What it measures."""
            return 1

        def _own(self):
            """Not public."""

    Example.__module__ = "supcon_tf.example"
    text = entry("Example", Example)
    assert "The first paragraph, in two lines." in text
    assert "- `measure(epsilon, names)`: What it measures." in text
    assert "_own" not in text
    assert "The second" not in text


def test_the_readme_and_the_guide_point_to_it():
    root = Path(__file__).parents[1]
    assert "docs/api.md" in (root / "README.md").read_text()
