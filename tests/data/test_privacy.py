import hashlib
import hmac
import random
import re
import string
import uuid
from typing import Any

import numpy as np
import polars as pl
import pytest

from clew.data.privacy import Policy, PrivacyFinding, apply_policy, refusal, scan
from clew.errors import RefusedError, UsageError

KEY = b"0123456789abcdef"

PERSONAL = [
    ("e-mail", "anna.keller@zweifel.com"),
    ("e-mail", "write to o'neil+x@post.zweifel.co.uk, please"),
    ("e-mail", "jürgen@zweifel.de"),
    ("phone", "+41 79 123 45 67"),
    ("phone", "+41791234567"),
    ("phone", "0041 44 668 18 00"),
    ("phone", "+1 (415) 555-2671"),
    ("phone", "+49.30.1234567"),
    ("phone", "(419) 555-0134"),
    ("phone", "419-555-0134"),
    ("phone", "call 1-419-555-0134 after six"),
    ("phone", "419.555.0134"),
    ("phone", "044 668 18 00"),
    ("phone", "020 7946 0958"),
    ("iban", "CH93 0076 2011 6238 5295 7"),
    ("iban", "DE89370400440532013000"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "pay to NL91ABNA0417164300 today"),
    ("card", "4111 1111 1111 1111"),
    ("card", "5555555555554444"),
    ("card", "378282246310005"),
    ("card", "6011-1111-1111-1117"),
    ("ipv4", "192.168.17.4"),
    ("ipv4", "GET / from 8.8.8.8, 200"),
    ("ipv6", "2001:db8:85a3::8a2e:370:7334"),
    ("ipv6", "fe80:0:0:0:1:2:3:4"),
    ("mac", "00:1a:2B:3c:4d:5e"),
    ("mac", "001a.2b3c.4d5e"),
    ("us-ssn", "SSN 219-09-9999"),
]

IMPERSONAL = [
    "S00801", "48000", "71,400.50", "1993-01-04", "04-01-1993", "01 02 2023 10", "12:30:45",
    "2023-01-04 12:30:45.123456", "2023-01-04T12:30:45+02:00", "+41.123456", "-83.555 +41.663", "1.2.3",
    "v10.2.3.4", "0.1234567890123456", "1e+10", "+12345678", "1 234 567 890", "1,234,567,890",
    "4111 1111 1111 1112", "4111111111111112", "CH94 0076 2011 6238 5295 7", "999.999.999.999", "127.0.0.1",
    "000-12-3456", "219-00-9999", "23-11-04-12-30-59", "std::vector", "a@b", "@home", "price @ 12.50", "10 @ 3.5",
    "ab:cd", "A-419-555-0134-7", "1234567890", "419555013", "4006381333931", "978-3-16-148410-0",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479", "0" * 16, "partbrk", "one+half", "", "Zürich 8001", "US-2023-000123",
    "#4111",
]  # fmt: skip


def column(values: list[Any], name: str = "x") -> pl.DataFrame:
    return pl.DataFrame({name: values})


@pytest.mark.parametrize(("kind", "text"), PERSONAL)
@pytest.mark.parametrize("rows", [1, 1000])
def test_finds_one_in_a_thousand(kind: str, text: str, rows: int) -> None:
    found = scan(column(["nothing here"] * (rows - 1) + [text]))
    assert [(item.column, item.kind, item.matches, item.rows) for item in found] == [("x", kind, 1, rows)]
    assert found[0].share == 1 / rows


@pytest.mark.parametrize("text", IMPERSONAL)
def test_leaves_alone(text: str) -> None:
    assert [str(found) for found in scan(column([text, None]))] == []


@pytest.mark.parametrize(("kind", "text"), PERSONAL)
def test_a_finding_never_carries_the_value(kind: str, text: str) -> None:
    found = scan(column([text]))
    said = f"{found!r} {found[0]} {refusal('people', found)}"
    for part in re.findall(r"[^\W_]{4,}", text):
        assert part not in said
    assert not re.search(r"\w", found[0].example_masked)


def test_numbers_of_other_kinds() -> None:
    rng = np.random.default_rng(0)
    made = random.Random(1)
    n = 5000
    frame = pl.DataFrame(
        {
            # one in ten of these passes the check digit of a card
            "account_number": rng.integers(4 * 10**15, 5 * 10**15, n).astype(str),
            "order": rng.integers(10**9, 10**10, n).astype(str),
            "hash": ["".join(made.choices("0123456789abcdef", k=32)) for _ in range(n)],
            "uuid": [str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(n)],
            "sku": ["".join(made.choices(string.ascii_uppercase + string.digits, k=12)) for _ in range(n)],
            "float": rng.normal(size=n).astype(str),
            "micros": pl.Series(rng.integers(0, 10**15, n)).cast(pl.Datetime("us")).cast(pl.String),
            "money": [f"{x:,.2f} CHF" for x in rng.random(n) * 1e7],
            "signed": [f"{x:+.6f}" for x in rng.normal(size=n) * 90],
            "big": rng.integers(0, 2**62, n),
        }
    )
    assert [str(found) for found in scan(frame)] == []


def test_real_cards_among_ids_are_found() -> None:
    ids = np.random.default_rng(0).integers(10**15, 2 * 10**15, 2000).astype(str).tolist()
    found = scan(column([*ids, "4111111111111111", "5555555555554444"]))
    assert [(item.kind, item.matches) for item in found] == [("card", 2)]


def test_the_name_settles_what_digits_are() -> None:
    assert [f.kind for f in scan(column([4195550134, None], "phone"))] == ["phone"]
    assert [f.kind for f in scan(column(["4195550134"], "mobile_no"))] == ["phone"]
    assert [f.kind for f in scan(column([4111111111111111], "card"))] == ["card"]
    assert [f.kind for f in scan(column(["219099999"], "ssn"))] == ["us-ssn"]
    assert scan(column([4195550134], "amount")) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("name", "name-like column"),
        ("first_name", "name-like column"),
        ("LastName", "name-like column"),
        ("customer_name", "name-like column"),
        ("seller", "name-like column"),
        ("street", "name-like column"),
        ("home address", "name-like column"),
        ("Nachname", "name-like column"),
        ("date_of_birth", "birth date"),
        ("product_name", None),
        ("file_name", None),
        ("city", None),
        ("wall", None),
        ("street_type", None),
        ("named", None),
    ],
)
def test_columns_that_say_so(name: str, kind: str | None) -> None:
    people = ["Anna Keller", "Béatrice Roux", None, "Li Wei"]
    assert [found.kind for found in scan(column(people, name))] == ([kind] if kind else [])


def test_names_of_categories_and_codes_are_none() -> None:
    assert scan(column(["bank", "private"] * 100, "owner")) == []
    assert scan(column([f"S{i:05d}" for i in range(100)], "seller")) == []
    assert scan(column([1, 2, 3], "name")) == []


def test_looks_into_categories_lists_and_structs() -> None:
    mail = "a.b@example.com"
    frame = pl.DataFrame(
        {
            "c": pl.Series([mail, "x", mail], dtype=pl.Categorical),
            "l": [["x", mail], [], [mail, mail]],
            "a": pl.Series([["x", mail]] * 3, dtype=pl.Array(pl.String, 2)),
            "s": [{"k": [{"deep": mail}]}, {"k": []}, None],
            "n": [1, 2, 3],
        }
    )
    assert [(f.column, f.kind, f.matches) for f in scan(frame)] == [
        ("c", "e-mail", 2),
        ("l", "e-mail", 3),
        ("a", "e-mail", 3),
        ("s", "e-mail", 1),
    ]


def test_empty_tables() -> None:
    assert scan(pl.DataFrame()) == []
    assert scan(pl.DataFrame(schema={"name": pl.String, "c": pl.Categorical, "l": pl.List(pl.String)})) == []


def people() -> tuple[pl.DataFrame, list[PrivacyFinding]]:
    frame = pl.DataFrame(
        {
            "mail": ["a@example.com", None, "b@example.com", "a@example.com"],
            "phone": ["+41791234567"] * 4,
            "n": [1, 2, 3, 4],
        }
    )
    return frame, scan(frame)


def test_the_default_is_to_block() -> None:
    frame, found = people()
    same, unresolved = apply_policy(frame, found, {})
    assert same.equals(frame)
    assert unresolved == found
    _, blocked = apply_policy(frame, found, {"mail": Policy("block", "never"), "phone": Policy("allow", "public")})
    assert [item.column for item in blocked] == ["mail"]


def test_the_refusal_says_what_and_how() -> None:
    _, found = people()
    error = refusal("people", found)
    assert isinstance(error, RefusedError)
    assert "mail: e-mail addresses in 3 of 4 rows" in error.message
    assert "phone: phone numbers in 4 of 4 rows" in error.message
    assert error.mend is not None
    assert 'clew data policy people mail allow|drop|pseudonym|generalise --reason "…"' in error.mend
    assert "clew data policy people phone" in error.mend


def test_drop_and_allow() -> None:
    frame, found = people()
    left, unresolved = apply_policy(
        frame, found, {"mail": Policy("drop", "not needed"), "phone": Policy("allow", "shop")}
    )
    assert left.equals(frame.select("phone", "n"))
    assert unresolved == []


def test_pseudonyms() -> None:
    frame, found = people()
    policies = {name: Policy("pseudonym", "join only") for name in ("mail", "phone", "n", "gone")}
    left, unresolved = apply_policy(frame, found, policies, key=KEY)
    assert unresolved == []
    wanted = hmac.new(KEY, b"a@example.com", hashlib.sha256).hexdigest()
    assert left["mail"][0] == left["mail"][3] == wanted
    assert left["mail"][1] is None
    assert left["mail"][2] not in {wanted, None}
    assert left["n"][0] == hmac.new(KEY, b"1", hashlib.sha256).hexdigest()
    assert scan(left.select("mail", "n")) == []
    other, _ = apply_policy(frame, found, policies, key=b"x" * 16)
    assert other["mail"][0] != wanted


def test_pseudonyms_need_a_key_and_a_flat_column() -> None:
    frame, found = people()
    policies = {"mail": Policy("pseudonym", "join only")}
    for key in (None, b"short"):
        with pytest.raises(UsageError, match="key"):
            apply_policy(frame, found, policies, key=key)
    nested = pl.DataFrame({"mail": [["a@example.com"]]})
    with pytest.raises(UsageError, match="as a whole"):
        apply_policy(nested, scan(nested), policies, key=KEY)
