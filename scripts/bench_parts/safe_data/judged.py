"""What a person says of each alarm on the later halves: is it right, and why."""

from typing import Final

_TWICE: Final = "two moments of two storms (Dolly 2008, Ian 2022) stand in the source twice"
_SEASON: Final = "true of these rows, but they are of January to August: no fault of the data"
_CLOSED: Final = "the station was shut on the weekends of autumn 2009: the zeros are true"
_MIDLAND: Final = "Midland sold 100 houses that month, of 0 on offer: 0 stands for unknown"
_STATIONS: Final = "the riders of the two stations do tell each other's; the earlier half was just below the limit"

# by table, column and rule
JUDGED: Final[dict[tuple[str, str, str], tuple[bool, str]]] = {
    ("storms", "(rows)", "duplicate-rows"): (True, _TWICE),
    ("hotel_rates", "near_christmas", "constant"): (False, _SEASON),
    ("hotel_rates", "near_new_years", "constant"): (False, _SEASON),
    ("hotel_rates", "reserved_room_type", "allowed"): (
        False,
        "rooms of type b exist (they were assigned before); that they are booked too is new and in order",
    ),
    ("txhousing", "", "listings is not next to nothing"): (True, _MIDLAND),
    ("txhousing", "inventory", "min 0.1"): (True, _MIDLAND),
    ("txhousing", "", "sales goes with listings"): (
        False,
        "after 2008 cities differ more in how long houses stand for sale: the market changed, not the data",
    ),
    ("Chicago", "", "Monroe is not next to nothing"): (False, _CLOSED),
    ("Chicago", "Clinton", "min 0.02"): (False, _CLOSED),
    ("Chicago", "Clinton", "zeros"): (False, _CLOSED),
    ("Chicago", "", "temp_change is not next to nothing"): (False, "a day of one temperature is rare, and may be"),
    ("Chicago", "weather_storm", "zeros"): (False, "the share of a day with storms: 0 is a day without"),
    ("Chicago", "Belmont", "leak"): (True, _STATIONS),
    ("Chicago", "Clinton", "leak"): (True, _STATIONS),
    ("Chicago", "Harlem", "leak"): (True, _STATIONS),
    ("Chicago", "Irving_Park", "leak"): (True, _STATIONS),
    ("Chicago", "Monroe", "leak"): (True, _STATIONS),
}
