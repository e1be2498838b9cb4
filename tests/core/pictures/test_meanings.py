"""What the maps of each method mean."""

import pytest

from intgrad.pictures.meanings import MEANINGS, find_meaning

FACTS = {
    "straight": {"method": "integrated_gradients", "path": "straight", "kind": None},
    "blur": {"method": "integrated_gradients", "path": "blur", "kind": None},
    "guided": {"method": "integrated_gradients", "path": "guided", "kind": None},
    "expected_gradients": {"method": "expected_gradients", "path": None, "kind": None},
    "mean": {"method": "smoothgrad", "path": None, "kind": "mean"},
    "square": {"method": "smoothgrad", "path": "straight", "kind": "square"},
    "variance": {"method": "smoothgrad", "path": None, "kind": "variance"},
}


@pytest.mark.parametrize("name", MEANINGS)
def test_each_is_found(name):
    assert find_meaning(FACTS[name]) is MEANINGS[name]
    assert find_meaning(FACTS[name]).is_signed == (name not in ("square", "variance"))


def test_no_two_are_called_alike():
    assert len({meaning.title for meaning in MEANINGS.values()}) == len(MEANINGS)
