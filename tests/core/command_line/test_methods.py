"""The methods of `intgrad explain`, and the options that belong to them."""

import argparse
import inspect

import pytest

from intgrad import integrated_gradients
from intgrad.command_line.methods import add_options
from intgrad.explaining import methods
from intgrad.explaining.methods import METHODS

VALUES = {
    "baseline": "white",
    "draws": "8",
    "kind": "square",
    "noise": "0.3",
    "references": "refs",
    "rule": "left",
    "seed": "3",
    "sigma": "9.5",
    "steps": "7",
    "tolerance": "0.1",
}


def parse(*words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


def choose(given):
    return methods.choose(given.method, vars(given))


def needed(method):
    return ["--references", "refs"] if method == "expected" else []


def test_every_option_is_tried_below():
    names = {name for method in METHODS.values() for name in method.takes}
    assert names == set(VALUES)
    assert names == set(vars(parse())) - {"method"}


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("method", METHODS)
def test_an_option_of_a_method_or_of_others(method, option):
    given = parse("--method", method, *needed(method), f"--{option}", VALUES[option])
    owners = [name for name, each in METHODS.items() if option in each.takes]
    if method in owners:
        chosen = choose(given).options[option]
        assert (chosen[0] if option == "references" else str(chosen)) == VALUES[option]
        return
    with pytest.raises(ValueError, match=f"^--{option} {VALUES[option]} means nothing") as raised:
        choose(given)
    assert f"to --method {method}: it is for {', '.join(owners)}" in str(raised.value)


def test_several_references_are_quoted_as_a_shell_takes_them():
    given = parse("--method=blur", "--references", "my photos", "b.jpg")
    with pytest.raises(ValueError, match=r"^--references 'my photos' b\.jpg means nothing"):
        choose(given)


def test_references_are_needed():
    with pytest.raises(ValueError, match="--method expected needs --references: photographs"):
        choose(parse("--method", "expected"))


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_those_of_the_functions(method):
    choice = choose(parse("--method", method, *needed(method)))
    known = inspect.signature(choice.iterate).parameters
    for name, value in choice.options.items():
        assert name == "references" or value == known[name].default


def test_a_tolerance_says_how_many():
    assert "steps" not in choose(parse("--tolerance", "0.1")).options
    given = parse("--method", "smoothgrad", "--tolerance", "0.1")
    assert "draws" not in choose(given).options


@pytest.mark.parametrize(
    ("words", "has_error_bars", "has_gradient"),
    [
        ("", True, True),
        ("--steps 1", False, True),
        ("--rule right", False, True),
        ("--rule left", False, False),
        ("--tolerance 0.1", True, True),
        ("--method blur", True, True),
        ("--method guided --rule left", False, False),
        ("--method expected --references refs", True, False),
        ("--method smoothgrad", True, False),
    ],
)
def test_what_comes_with_it(words, has_error_bars, has_gradient):
    choice = choose(parse(*words.split()))
    assert (choice.has_error_bars, choice.has_gradient) == (has_error_bars, has_gradient)


def test_methods_are_those_of_the_package():
    paths = inspect.signature(integrated_gradients).parameters["path"].annotation.__args__
    assert {"straight", *METHODS} >= set(paths)
