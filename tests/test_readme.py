import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_python_snippets_run_as_they_stand(number):
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), {})


def test_readme_has_a_snippet_for_a_loss_and_one_for_an_attack():
    assert len(SNIPPETS) == 2


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_to_files_are_not_broken(link):
    assert (ROOT / link).exists()


def test_flagfiles_that_the_readme_names_exist():
    named = set(re.findall(r"flags/\w+\.flags", README))
    assert named
    for name in named:
        assert (ROOT / name).exists()
