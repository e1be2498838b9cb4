"""The options have one definition, and are shown wherever they are taken."""

import inspect
import re
import typing

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad
from intgrad.attribution.options import DEFAULTS, Options

FUNCTIONS = [
    intgrad.integrated_gradients,
    intgrad.random_baseline_integrated_gradients,
    intgrad.iter_integrated_gradients,
]
SHAPE = (4, 5, 3)


def entries(doc):
    """Return name and text of each entry of a docstring's parameters."""
    section = re.search(r"Parameters\n-+\n(.*?)(\n\n\w+\n-+\n|\Z)", doc, re.DOTALL)[1]
    found = re.split(r"^(\w[\w, ]*?)(?: : (.*))?\n", section, flags=re.MULTILINE)[1:]
    return {name: (kind, text) for name, kind, text in zip(*[iter(found)] * 3, strict=True)}


def test_each_option_has_a_type_a_default_and_a_text():
    documented = entries(inspect.cleandoc(Options.__doc__))
    assert list(documented) == list(DEFAULTS) == list(Options.__annotations__)
    for kind, text in documented.values():
        assert kind
        assert text.strip()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signature_and_help_show_every_option(function):
    expected = dict(DEFAULTS)
    if function is intgrad.random_baseline_integrated_gradients:
        del expected["baseline"]
    signature = inspect.signature(function)
    shown = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name in DEFAULTS
    }
    assert shown == expected
    assert all(signature.parameters[name].kind.name == "KEYWORD_ONLY" for name in expected)
    assert not any(
        parameter.kind.name == "VAR_KEYWORD" for parameter in signature.parameters.values()
    )
    documented = entries(inspect.getdoc(function))
    texts = entries(inspect.cleandoc(Options.__doc__))
    assert {name: documented[name] for name in expected} == {name: texts[name] for name in expected}
    assert set(expected) == set(DEFAULTS) & set(documented)
    assert "**options" not in documented
    assert set(typing.get_type_hints(function)) == {*signature.parameters, "return"}
    headings = re.findall(r"^(\w+)\n-+$", inspect.getdoc(function), re.MULTILINE)
    assert headings[0] == "Parameters"
    assert "Raises" in headings


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("step", "did you mean 'steps'"),
        ("n_steps", "did you mean 'steps'"),
        ("baselines", "did you mean 'baseline'"),
        ("internal_batch_size", "did you mean 'batch_size'"),
        ("target", "did you mean 'targets'"),
        ("method", "it takes model, images, targets, .*steps, path, rule"),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrong_name_is_told_the_close_one(function, name, hint):
    if function is FUNCTIONS[1] and name == "baselines":
        hint = "it takes"  # no baseline
    pattern = rf"^{function.__name__}\(\) got an unexpected option '{name}': {hint}"
    with pytest.raises(TypeError, match=pattern):
        function(None, None, **{name: 1})


def test_a_stream_always_gives_the_info():
    with pytest.raises(TypeError, match="unexpected option 'return_info'"):
        intgrad.iter_integrated_gradients(None, [], return_info=True)


def test_defaults_are_those_that_are_shown():
    model = intgrad.load_model(Polynomial(2, SHAPE), output="logit")
    shown = {**DEFAULTS, "output": "logit"}
    image = pixels(SHAPE)
    expected, info = intgrad.integrated_gradients(model, image, 1, return_info=True, **shown)
    found, same = intgrad.integrated_gradients(model, image, 1, return_info=True, output="logit")
    np.testing.assert_array_equal(found, expected)
    assert (info.steps, info.rule, info.baseline) == (same.steps, same.rule, same.baseline)
    assert info.steps == 50


def test_random_baselines_take_the_other_options():
    model = intgrad.load_model(Polynomial(2, SHAPE), output="logit")
    options = {"runs": 3, "steps": 4, "rule": "midpoint", "seed": 5, "output": "logit"}
    _, info = intgrad.random_baseline_integrated_gradients(
        model, pixels(SHAPE), 1, return_info=True, **options
    )
    assert (info.baseline, info.steps, info.rule, info.seed) == ("uniform x 3", 4, "midpoint", 5)
