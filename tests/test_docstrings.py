"""The examples in docstrings run as they stand, and everything public has one."""

import doctest
import importlib
import inspect
import re
import textwrap

import pytest

from docs.make_api import PACKAGES, public_names

MODULES = [f"supcon_tf.{name}" for name in PACKAGES]
# Of other things that people meet who build on the package.
OTHERS = ["supcon_tf.data.batches:Batches", "supcon_tf.models.folding:fold_batch_norm"]


def snippets(documented):
    """The fenced code of a docstring, and its `>>>` lines."""
    text = inspect.getdoc(documented) or ""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL), text


def run(name, documented):
    """Runs every example of a docstring; how many there are."""
    fenced, text = snippets(documented)
    for code in fenced:
        exec(compile(textwrap.dedent(code), f"the example of {name}", "exec"), {})
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)
    return len(fenced) + len(test.examples)


def functions_and_classes(package):
    return {n: thing for n, thing in public_names(package) if callable(thing)}


@pytest.mark.slow
@pytest.mark.parametrize("package", [*MODULES, "supcon_tf.training"])
def test_examples_run(package):
    run(package, importlib.import_module(package))
    for name, thing in functions_and_classes(package).items():
        run(name, thing)


def test_examples_of_what_the_packages_use_run():
    for place in OTHERS:
        module, name = place.split(":")
        assert run(name, getattr(importlib.import_module(module), name)), place


def test_everything_public_has_an_example():
    for package in MODULES:
        of_package, _ = snippets(importlib.import_module(package))
        used = set(re.findall(r"\w+", "\n".join(of_package)))
        for name, thing in functions_and_classes(package).items():
            fenced, text = snippets(thing)
            own = "\n".join([*fenced, *re.findall(r">>> .*", text)])
            short = name.rpartition(".")[2]
            # The base class of all attacks is none itself.
            assert short in own or short in used or short == "Attack", name


def test_an_example_that_fails_is_noticed():
    def broken():
        """Nothing.

        >>> 1 + 1
        3
        """

    def undefined():
        """Nothing.

        ```python
        unknown()
        ```
        """

    with pytest.raises(AssertionError, match="Expected"):
        run("broken", broken)
    with pytest.raises(NameError):
        run("undefined", undefined)
