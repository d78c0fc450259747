from typing import Annotated, Literal

import pytest
from pydantic import Field

from infer_torchvision_resnext.resnext.host.schema import ParameterError, ParameterSchema


class Oven(ParameterSchema):
    heat: Annotated[int, Field(ge=0, le=300, description="Degrees.")] = 180
    grill: Annotated[bool, Field(description="From above.")] = False
    mode: Annotated[Literal["air", "steam"], Field(description="How.")] = "air"
    salt: Annotated[float, Field(ge=0, description="Grams.")] = 0.5
    note: str = ""
    """Free,
    on two lines.
    """


def test_strings_survive_the_way_to_the_host_and_back():
    oven = Oven(heat=200, grill=True, mode="steam", salt=1.25, note="é, ü")
    strings = oven.to_strings()
    assert strings == {"heat": "200", "grill": "True", "mode": "steam", "salt": "1.25", "note": "é, ü"}
    assert Oven.from_strings(strings) == oven


def test_keys_left_out_take_their_defaults():
    assert Oven.from_strings({"heat": " 90 "}) == Oven(heat=90)


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"heat": "301"}, ["heat = '301': must be an integer from 0 to 300"]),
        ({"heat": "hot"}, ["heat = 'hot': must be an integer from 0 to 300"]),
        ({"salt": "nan"}, ["salt = 'nan': must be a number of at least 0"]),
        ({"grill": "maybe"}, ["grill = 'maybe': must be one of True, False"]),
        ({"mode": "gas"}, ["mode = 'gas': must be one of air, steam"]),
        ({"haet": "3"}, ["'haet' is not a parameter: did you mean 'heat'?"]),
        ({"zzz": "3"}, ["'zzz' is not a parameter: the parameters are heat, grill, mode, salt, note"]),
        (
            {"mod": "x", "heat": "-1", "salt": "-1"},
            [
                "'mod' is not a parameter: did you mean 'mode'?",
                "heat = '-1': must be an integer from 0 to 300",
                "salt = '-1': must be a number of at least 0",
            ],
        ),
    ],
)
def test_everything_wrong_is_said_at_once(values, problems):
    with pytest.raises(ParameterError) as caught:
        Oven.from_strings(values)
    assert list(caught.value.problems) == problems
    assert str(caught.value) == "\n".join(problems)


def test_an_update_keeps_the_rest_and_is_checked():
    assert Oven(heat=90).updated({"grill": "true"}) == Oven(heat=90, grill=True)
    with pytest.raises(ParameterError, match="heat = '999'"):
        Oven().updated({"heat": "999"})


def test_the_table_says_key_default_range_and_meaning():
    assert Oven.markdown_table().splitlines() == [
        "| key | default | allowed | meaning |",
        "|---|---|---|---|",
        "| `heat` | `180` | an integer from 0 to 300 | Degrees. |",
        "| `grill` | `False` | True, False | From above. |",
        "| `mode` | `air` | air, steam | How. |",
        "| `salt` | `0.5` | a number of at least 0 | Grams. |",
        "| `note` | empty | text | Free, on two lines. |",
    ]
