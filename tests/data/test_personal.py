"""What is found of personal data, on a labelled set of nobody's, and what is left alone."""

import datetime as dt
import random
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from tests.data import people_made_up as made_up
from tests.data.people_made_up import CHECKED, Case, kind_of

from clew.data.personal.detector import beyond_chance
from clew.data.personal.national import IDS, _validator
from clew.data.privacy import PrivacyFinding, scan

HOUSES = Path(__file__).parents[2] / "examples" / "house_prices" / "house_sales.csv.gz"


def found_in(case: Case) -> int:
    hits = [one.matches for one in scan(pl.DataFrame({case.name: case.values})) if one.kind == kind_of(case)]
    return min(sum(hits), case.planted)


def recall(cases: list[Case]) -> tuple[dict[str, float], Counter[str]]:
    found: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    for case in cases:
        found[kind_of(case)] += found_in(case)
        planted[kind_of(case)] += case.planted
    return {kind: found[kind] / planted[kind] for kind in planted}, planted


def test_checked_numbers_are_found_one_in_a_thousand_and_in_whole_columns() -> None:
    # 140 values a kind, written plainly and carelessly; of all kinds together 5,500.
    cases = [
        case
        for case in made_up.cases(1, whole_rows=60, forms=frozenset({"plain", "careless"}))
        if kind_of(case) in CHECKED and case.placed != "single"
    ]
    found, planted = recall(cases)
    assert set(found) == CHECKED
    assert min(planted.values()) >= 130
    assert {kind: share for kind, share in found.items() if share < 0.95} == {}


@pytest.mark.slow
def test_recall_in_every_form() -> None:
    cases = [case for case in made_up.cases(2) if case.placed != "single"]
    found, _ = recall(cases)
    assert {kind: share for kind, share in found.items() if kind in CHECKED and share < 0.95} == {}
    for kind, least in {
        "e-mail": 0.95,
        "ipv4": 0.95,
        "ipv6": 0.95,
        "mac": 0.95,
        "us-ssn": 0.95,
        "coordinates": 0.95,
    }.items():
        assert found[kind] >= least, kind
    assert found["birth date"] >= 0.9
    assert found["street address"] >= 0.8


def test_what_says_nothing_by_itself_is_left_alone() -> None:
    rng = random.Random(3)
    texts = [made_up.filler(rng) for _ in range(20_000)]
    assert [str(one) for one in scan(pl.DataFrame({"x": texts}))] == []


@pytest.mark.parametrize("digits", [9, 10, 11, 12, 13, 15, 16, 18])
def test_numbers_of_any_length_are_no_national_ids(digits: int) -> None:
    rng = random.Random(digits)
    numbers = [rng.randrange(10 ** (digits - 1), 10**digits) for _ in range(2000)]
    running = [10 ** (digits - 1) + 7 * number for number in range(2000)]
    days = [f"{rng.randrange(60, 99)}0{rng.randrange(1, 10)}{rng.randrange(10, 29)}" for _ in range(2000)]
    dated = [int(f"{day}{number:0{digits - 6}d}"[:digits]) for number, day in enumerate(days)]
    frame = pl.DataFrame({"random": numbers, "running": running, "dated": dated})
    texts = frame.select(pl.all().cast(pl.String).name.suffix("_text"))
    assert [str(one) for one in scan(pl.concat([frame, texts], how="horizontal"))] == []


def test_house_sales_raise_no_alarm() -> None:
    frame = pl.read_csv(HOUSES, try_parse_dates=True, infer_schema_length=None)
    assert [str(one) for one in scan(frame)] == []


def test_every_country_s_number_is_checked_by_its_digit() -> None:
    # A right number with another last letter is wrong: of 200 for each country, at most the share that may pass.
    rng = random.Random(4)
    for one in IDS:
        draw = made_up.national(one)
        verdict = _validator(one.module)
        wrong = passed = 0
        for _ in range(20):
            text = draw(rng).replace("-", "" if one.country != "FI" else "-")
            end = text[-1]
            others = "0123456789" if end.isdigit() else "ABCDEFGHJKLMNPQRSTVWXYZ"
            for other in others.replace(end, ""):
                wrong += 1
                passed += verdict(text[:-1] + other) == "right"
        assert passed <= 0.12 * wrong, one


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("national id CH", "756.9217.0769.85"),  # examples that the states themselves publish
        ("national id DE", "86095742719"),
        ("national id FI", "131052-308T"),
        ("national id SE", "811228-9874"),
        ("national id NL", "BSN 111222333"),
        ("national id ES", "12345678Z"),
        ("national id ES", "X1234567L"),
        ("national id BR", "111.444.777-35"),
        ("national id GB", "NHS number 9434765919"),
        ("national id CA", "SIN: 123 456 782"),
        ("national id CN", "11010519491231002X"),
        ("national id PL", "PESEL 44051401359"),
        ("iban", "iban ch93-0076-2011-6238-5295-7"),
        ("phone", "Tel: 0446681800"),
        ("phone", "+41 (0)44 668 18 00"),
        ("coordinates", "47.37174, 8.54226"),
        ("coordinates", "POINT(8.54226 47.37174)"),
        ("coordinates", "47°22'18.3\"N 8°32'32.1\"E"),
        ("ipv4", "8.8.8.8"),
        ("e-mail", "anna [at] example [dot] org"),
        ("birth date", "geb. am 12.03.1974 in Uri"),
        ("street address", "Musterstrasse 12"),
        ("street address", "12 Sample Road"),
        ("street address", "14 rue de la Paix"),
    ],
)
def test_single_values(kind: str, text: str) -> None:
    (one,) = scan(pl.DataFrame({"x": ["nothing"] * 50 + [text]}))
    assert (one.kind, one.matches) == (kind, 1)
    assert not any(part in f"{one!r} {one}" for part in re.findall(r"\d{3,}|[\w.]+@|\bUri\b|anna", text))


def test_numeric_columns() -> None:
    rng = random.Random(5)
    ahv = [int(made_up.national(IDS[0])(rng)) for _ in range(200)]
    cards = [int(made_up.card(rng)) for _ in range(200)]
    frame = pl.DataFrame({"a": ahv, "b": cards, "c": [float(number) for number in ahv]})
    assert [(one.column, one.kind, one.matches) for one in scan(frame)] == [
        ("a", "national id CH", 200),
        ("b", "card", 200),
        ("c", "national id CH", 200),
    ]


# --- where somebody lives, and when they were born ----------------------------------------------------------------


def places(decimals: int) -> pl.DataFrame:
    rng = random.Random(6)
    pairs = [(round(rng.uniform(40, 60), decimals), round(rng.uniform(-5, 25), decimals)) for _ in range(200)]
    return pl.DataFrame({"pickup_lat": [one for one, _ in pairs], "pickup_lon": [one for _, one in pairs]})


def kinds(found: list[PrivacyFinding]) -> list[tuple[str, str]]:
    return [(one.column, one.kind) for one in found]


def test_coordinates_precise_to_a_home() -> None:
    precise = places(5)
    both = [("pickup_lat", "coordinates"), ("pickup_lon", "coordinates")]
    assert kinds(scan(precise)) == both
    assert kinds(scan(precise.cast(pl.String))) == both
    assert scan(places(2)) == []
    assert scan(precise.rename({"pickup_lon": "dropoff_lon"})) == []
    assert scan(precise.rename({"pickup_lat": "x", "pickup_lon": "y"})) == []
    inside = precise.select(pl.struct(lat="pickup_lat", lon="pickup_lon").alias("home"))
    assert kinds(scan(inside)) == [("home", "coordinates")]
    listed = precise.select(pl.concat_list("pickup_lon", "pickup_lat").alias("location"))
    assert kinds(scan(listed)) == [("location", "coordinates")]
    assert scan(listed.rename({"location": "weights"})) == []


def test_dates_that_lie_as_births_do() -> None:
    rng = random.Random(7)
    births = [made_up.born(rng) for _ in range(300)]
    recent = [dt.date(1993, 1, 1) + dt.timedelta(days=rng.randrange(2000)) for _ in range(300)]
    frame = pl.DataFrame(
        {
            "d": births,
            "t": [f"{day:%d.%m.%Y}" for day in births],
            "hired_on": births,
            "sorted": sorted(births),
            "recent": recent,
        }
    )
    assert kinds(scan(frame)) == [("d", "birth date"), ("t", "birth date")]
    named = pl.DataFrame(
        {"dob": [19740312, 19551105], "born": ["1974-03-12", "1955-11-05"], "birth_place": ["Uri", "Zug"]}
    )
    assert kinds(scan(named)) == [("dob", "birth date"), ("born", "birth date")]


# --- names and words ----------------------------------------------------------------------------------------------


def test_names_by_the_lexicon() -> None:
    rng = random.Random(8)
    people = [made_up.person(rng) for _ in range(200)]
    given = [one.split()[0] for one in people]
    products = [
        f"{a} {b}"
        for a in ("Red", "Blue", "Small", "Steel", "Garden")
        for b in ("Chair", "Lamp", "Table", "Shelf", "Bench", "Hose")
    ]
    frame = pl.DataFrame({"x": people, "y": given, "z": (products * 7)[:200]})
    assert kinds(scan(frame)) == [("x", "name"), ("y", "name")]
    underscored = frame.select(pl.col("x").str.to_lowercase().str.replace(" ", "_"))
    assert kinds(scan(underscored)) == [("x", "name")]


def test_free_text_is_named_with_what_hides_in_it() -> None:
    rng = random.Random(9)
    notes = [f"visited the house {rng.randrange(1000)} times and found nothing wrong with it" for _ in range(100)]
    notes[17] += ", call Mrs. Obermoser"
    notes[31] += " or write to a.b@example.com"
    found = scan(pl.DataFrame({"notes": notes}))
    assert [(one.kind, one.matches) for one in found] == [("e-mail", 1), ("free text", 100), ("name", 1)]


def test_chance() -> None:
    assert not beyond_chance(10, 100, 0.1)
    assert not beyond_chance(5, 5, 0.1)
    assert beyond_chance(6, 6, 0.1)
    assert beyond_chance(40, 100, 0.1)
    assert not beyond_chance(0, 0, 0.1)
