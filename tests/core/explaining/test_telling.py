"""What a record says of a photograph."""

import pytest

from intgrad.explaining.telling import note


@pytest.mark.parametrize(
    ("share", "baseline", "text"),
    [
        (0.01, "black", None),
        (0.37, "black", "37% of the pixels are as the black baseline and can get nothing"),
        (0.37, "black", "try --baseline blur"),
        (0.4, "blur", "try --baseline gray"),
    ],
)
def test_what_can_get_nothing(share, baseline, text):
    told = note({"unattributable": share, "baseline": baseline})
    assert (told is None) if text is None else (text in told)
