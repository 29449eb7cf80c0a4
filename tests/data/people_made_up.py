"""A labelled set of personal data of nobody: each kind in many countries, written cleanly and carelessly.

Numbers are drawn at random until their check digit is right. `cases` gives columns in which one value in a thousand
is personal, and columns that hold nothing else.
"""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import phonenumbers
from stdnum import luhn
from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_11_2, mod_97_10

from clew.data.personal.lexicon import FAMILY, GIVEN
from clew.data.personal.national import IDS, NationalId

_GIVEN, _FAMILY = sorted(GIVEN), sorted(FAMILY)
Draw = Callable[[random.Random], str]
CHECKED = frozenset({"iban", "card", *(one.kind for one in IDS)})


@dataclass(frozen=True)
class Case:
    """A column, the kind that is planted in it, how it is written, and in how many rows."""

    kind: str
    form: str
    placed: str
    name: str
    values: list[Any]
    planted: int


# --- what nobody wants to find -----------------------------------------------------------------------------------


def filler(rng: random.Random) -> str:
    """A text without anything personal."""
    number = rng.randrange
    return rng.choice(
        (
            lambda: "nothing to report",
            lambda: f"order {number(10_000, 99_999)} shipped",
            lambda: f"{number(1, 9999)}.{number(0, 99):02d} CHF",
            lambda: f"{number(1990, 2024)}-{number(1, 12):02d}-{number(1, 28):02d}",
            lambda: f"{number(0, 23):02d}:{number(0, 59):02d}:{number(0, 59):02d}",
            lambda: f"SKU-{number(100, 999)}-{rng.choice('ABCDEFG')}{number(10, 99)}",
            lambda: f"v{number(1, 9)}.{number(0, 20)}.{number(0, 9)}",
            lambda: f"room {number(1, 400)}, {number(20, 180)} m²",
            lambda: "called back, will decide next week",
            lambda: f"{number(1_000, 9_999_999):,}",
            lambda: f"{rng.random():.12f}",
            lambda: "",
        )
    )()


# --- numbers of states -------------------------------------------------------------------------------------------

_DATED = {
    "se.personnummer": "{y}{m}{d}", "is_.kennitala": "{d}{m}{y}", "lv.pvn": "{d}{m}{y}", "bg.egn": "{y}{m}{d}",
    "no.fodselsnummer": "{d}{m}{y}", "gr.amka": "{d}{m}{y}",
    "be.nn": "{y}{m}{d}", "pl.pesel": "{y}{m}{d}", "cz.rc": "{y}{m}{d}",
}  # fmt: skip


def national(one: NationalId) -> Draw:
    """Draws numbers of a country, plain, until one is right."""
    if one.module == "cn":
        return _chinese
    module = import_module(f"stdnum.{one.module}")

    def valid(text: str) -> bool:
        try:
            module.validate(text)
        except (ValidationError, ValueError):
            return False
        return True

    def draw(rng: random.Random) -> str:
        for _ in range(10_000):
            text = _body(one, rng)
            ends = [""]
            if text[-2:].isdigit():
                text, ends = text[:-2], [f"{end:02d}" for end in rng.sample(range(100), 100)]
            for end in ends:
                if valid(text + end):
                    return text + end
        raise AssertionError(one)

    return draw


def _body(one: NationalId, rng: random.Random) -> str:  # noqa: PLR0911 - a country a case
    born = dt.date(1940, 1, 1) + dt.timedelta(days=rng.randrange(59 * 365))
    y, m, d = born.strftime("%y %m %d").split()

    def digits(count: int) -> str:
        return "".join(rng.choices("0123456789", k=count))

    def letters(count: int, of: str = "ABCDEFGHIKLMNOPRSTUVZ") -> str:
        return "".join(rng.choices(of, k=count))

    match one.module:
        case "ch.ssn":
            return "756" + digits(10)
        case "de.idnr":  # nine different digits, one of them twice
            nine = rng.sample("0123456789", 9)
            body = rng.sample([*nine, rng.choice(nine)], 10)
            return "".join(body if body[0] != "0" else reversed(body)) + "0"
        case "za.idnr":
            return y + m + d + digits(4) + rng.choice("01") + "8" + digits(1)
        case "fr.nir":
            return rng.choice("12") + y + m + f"{rng.randrange(1, 96):02d}" + digits(8)
        case "ee.ik":
            return rng.choice("34") + y + m + d + digits(4)
        case "ro.cnp":
            return rng.choice("12") + y + m + d + f"{rng.randrange(1, 47):02d}" + digits(4)
        case "si.emso":
            return d + m + f"9{y}" + f"{rng.choice((10, 50, 71, 33))}" + digits(4)
        case "bg.egn" | "cz.rc" | "be.nn" | "no.fodselsnummer" | "gr.amka" | "pl.pesel" | "se.personnummer":
            size = {"se.personnummer": 10}.get(one.module, one.lengths[0])
            return _DATED[one.module].format(y=y, m=m, d=d) + digits(size - 6)
        case "is_.kennitala":
            return d + m + y + digits(3) + "9"
        case "lv.pvn":
            return d + m + y + "1" + digits(4)
        case "kr.rrn":
            return y + m + d + rng.choice("12") + f"{rng.randrange(0, 96):02d}" + digits(4)
        case "pt.nif":
            return rng.choice("12") + digits(8)
        case "ar.cuit":
            return rng.choice(("20", "23", "27")) + digits(9)
        case "cl.rut":
            return f"{rng.randrange(5_000_000, 25_000_000)}-" + rng.choice("0123456789K")
        case "es.dni":
            return digits(8) + letters(1, "TRWAGMYFPDXBNJZSQVHLCKE")
        case "es.nie":
            return rng.choice("XYZ") + digits(7) + letters(1, "TRWAGMYFPDXBNJZSQVHLCKE")
        case "fi.hetu":
            return d + m + y + "-" + f"{rng.randrange(2, 899):03d}" + letters(1, "0123456789ABCDEFHJKLMNPRSTUVWXY")
        case "it.codicefiscale":
            month = "ABCDEHLMPRST"[born.month - 1]
            start = letters(6, "BCDFGLMNPRST") + y + month + d + letters(1, "ABCDEFGHIL") + digits(3)
            return start + letters(1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        case "mx.curp":
            state = rng.choice(("DF", "JC", "NL", "VZ", "OC"))
            return (
                letters(1, "BCDGM")
                + rng.choice("AEIO")
                + letters(2, "BCDGM")
                + y
                + m
                + d
                + rng.choice("HM")
                + (state + letters(3, "BCDFGLMNPRST") + digits(2))
            )
        case "ie.pps":
            return digits(7) + letters(1, "ABCDEFGHIJKLMNOPQRSTUVW")
        case "ec.ci":
            return f"{rng.randrange(1, 25):02d}" + rng.choice("012345") + digits(7)
        case "in_.aadhaar":
            return rng.choice("23456789") + digits(11)
    return digits(one.lengths[0])


def _chinese(rng: random.Random) -> str:
    born = dt.date(1940, 1, 1) + dt.timedelta(days=rng.randrange(59 * 365))
    body = rng.choice(("110105", "310104", "440106")) + f"{born:%Y%m%d}" + f"{rng.randrange(1000):03d}"
    return body + str(mod_11_2.calc_check_digit(body))


# How each is usually written, where not as plain digits: groups of letters parted by signs.
_USUAL = {
    "ch.ssn": "3.4.4.2", "de.idnr": "2 3 3 3", "at.vnr": "4 6", "fr.nir": "1 2 2 2 3 3 2", "be.nn": "2.2.2-3.2",
    "se.personnummer": "6-4", "no.fodselsnummer": "6 5", "is_.kennitala": "6-4", "lv.pvn": "6-5", "cz.rc": "6/4",
    "gb.nhs": "3 3 4", "ca.sin": "3 3 3", "br.cpf": "3.3.3-2", "ar.cuit": "2-8-1", "do.cedula": "3-7-1",
    "in_.aadhaar": "4 4 4", "kr.rrn": "6-7", "th.pin": "1-4-5-2-1", "jp.in_": "4 4 4", "au.tfn": "3 3 3",
    "nz.ird": "3-3-3", "pt.nif": "3 3 3", "za.idnr": "6 4 3", "es.dni": "8-1", "es.nie": "1-7-1",
    "it.codicefiscale": "3 3 5 5",
}  # fmt: skip
_LABEL = {
    "ch.ssn": "AHV-Nr.", "de.idnr": "Steuer-IdNr.:", "at.vnr": "SVNR", "fr.nir": "NIR :", "nl.bsn": "BSN:",
    "be.nn": "NISS", "se.personnummer": "personnr", "no.fodselsnummer": "fnr.", "is_.kennitala": "kt.",
    "ee.ik": "isikukood", "lv.pvn": "personas kods:", "pl.pesel": "PESEL:", "cz.rc": "RČ", "bg.egn": "ЕГН",
    "ro.cnp": "CNP", "si.emso": "JMBG:", "hr.oib": "OIB:", "gr.amka": "ΑΜΚΑ", "pt.nif": "NIF", "gb.nhs": "NHS no.",
    "ca.sin": "SIN:", "br.cpf": "CPF", "ar.cuit": "CUIL", "cl.rut": "RUT", "ec.ci": "cédula", "do.cedula": "Cédula:",
    "tr.tckimlik": "TCKN", "il.idnr": "teudat zehut", "za.idnr": "ID number: RSAID", "in_.aadhaar": "Aadhaar",
    "cn": "身份证", "kr.rrn": "RRN", "th.pin": "PIN", "jp.in_": "MyNumber", "au.tfn": "TFN:", "nz.ird": "IRD",
    "ua.rntrc": "РНОКПП", "ru.inn": "ИНН", "es.dni": "DNI", "es.nie": "NIE", "fi.hetu": "hetu:",
    "it.codicefiscale": "C.F.", "mx.curp": "CURP", "ie.pps": "PPSN",
}  # fmt: skip


def grouped(text: str, pattern: str) -> str:
    """A text in groups: `3.4.2` parts its letters by those signs."""
    out, rest = "", text.replace("-", "")
    for sign in pattern:
        if sign.isdigit():
            out, rest = out + rest[: int(sign)], rest[int(sign) :]
        else:
            out += sign
    return out + rest


def forms_of(one: NationalId) -> dict[str, Callable[[str], str]]:
    """Ways to write a country's number, by name."""
    usual = _USUAL.get(one.module)

    def written(text: str) -> str:
        return text if usual is None else grouped(text, usual)

    return {
        "plain": lambda text: text,
        "usual": written,
        "labelled": lambda text: f"{_LABEL[one.module]} {text}",
        "careless": lambda text: f"  ({_LABEL[one.module].lower()} {written(text).lower()}.) ".replace(" ", "\xa0", 1),
    }


# --- accounts, cards, contact ------------------------------------------------------------------------------------

_BBAN = {
    "DE": "18d", "CH": "5d12c", "AT": "16d", "FR": "10d11c2d", "GB": "4a14d", "NL": "4a10d", "ES": "20d",
    "IT": "1a10d12c", "BE": "12d", "PL": "24d", "SE": "20d", "NO": "11d", "DK": "14d", "FI": "14d", "PT": "21d",
    "IE": "4a14d", "CZ": "20d", "HU": "24d", "GR": "7d16c", "LU": "3d13c", "MT": "4a5d18c", "SA": "2d18c",
}  # fmt: skip


def iban(rng: random.Random) -> str:
    """A bank account of one of twenty countries and more."""
    country = rng.choice(sorted(_BBAN))
    body, count = "", ""
    for sign in _BBAN[country]:
        if sign.isdigit():
            count += sign
            continue
        of = {"d": "0123456789", "a": "ABCDEFGHKLMNPRSTUVWZ", "c": "0123456789ABCDEFGHKL"}[sign]
        body += "".join(rng.choices(of, k=int(count)))
        count = ""
    return country + mod_97_10.calc_check_digits(body + country) + body


def card(rng: random.Random) -> str:
    """A payment card of five issuers."""
    start, size = rng.choice((("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3566", 16)))
    body = start + "".join(rng.choices("0123456789", k=size - len(start) - 1))
    return body + luhn.calc_check_digit(body)


def _fours(text: str, sign: str) -> str:
    return sign.join(text[at : at + 4] for at in range(0, len(text), 4))


_PHONES = ("CH", "DE", "AT", "FR", "GB", "US", "ES", "IT", "NL", "SE", "PL", "BR", "IN", "JP", "AU", "ZA")


def phone(form: str) -> Draw:
    """A phone number of sixteen countries, in one form."""

    def draw(rng: random.Random) -> str:
        while True:
            region = form[-2:] if form.startswith("digits") else rng.choice(_PHONES)
            kind = rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
            example = phonenumbers.example_number_for_type(region, kind)
            assert example is not None
            body = str(example.national_number)
            body = body[:1] + "".join(rng.choices("0123456789", k=len(body) - 1))
            number = phonenumbers.parse(f"+{example.country_code}{body}", None)
            if not phonenumbers.is_valid_number(number):
                continue
            formats = phonenumbers.PhoneNumberFormat
            international = phonenumbers.format_number(number, formats.INTERNATIONAL)
            national_ = phonenumbers.format_number(number, formats.NATIONAL)
            return {
                "e164": phonenumbers.format_number(number, formats.E164),
                "international": international,
                "double zero": "00" + international[1:],
                "careless": f" tel.:{international.replace(' ', chr(160))} (after six)",
                "labelled": f"Tel: {national_}",
                "national": national_,
                "digits": f"0{body}" if national_.startswith("0") else body,
            }[form.partition(" ")[0] if form.startswith("digits") else form]

    return draw


def email(rng: random.Random) -> str:
    """An address at a domain that is kept for examples."""
    name = f"{rng.choice(_GIVEN)}{rng.choice('._-')}{rng.choice(_FAMILY)}{rng.randrange(100)}"
    return f"{name}@{rng.choice(('example.com', 'post.example.org', 'beispiel.example.ch', 'ejemplo.example.co.uk'))}"


def ipv4(rng: random.Random) -> str:
    """An address kept for documentation, or of a private net."""
    return rng.choice(("192.0.2.", "198.51.100.", "10.20.30.", "192.168.4.")) + str(rng.randrange(1, 255))


def ipv6(rng: random.Random) -> str:
    """An address kept for documentation."""
    return "2001:db8:" + ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(6))


def mac(rng: random.Random) -> str:
    """An address of a network card; one of digits alone is taken for a time, and isn't drawn."""
    while True:
        found = ":".join(f"{rng.randrange(256):02x}" for _ in range(6))
        if not found.replace(":", "").isdigit():
            return found


def ssn(rng: random.Random) -> str:
    """A number of a range that is given out."""
    return f"{rng.randrange(1, 666):03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"


def born(rng: random.Random) -> dt.date:
    """A day of birth."""
    return dt.date(1940, 1, 1) + dt.timedelta(days=rng.randrange(65 * 365))


def coordinates(rng: random.Random) -> tuple[float, float]:
    """Somewhere in Europe, to a metre."""
    return round(rng.uniform(40, 60), 5), round(rng.uniform(-5, 25), 5)


_STREETS: tuple[Callable[[str, int], str], ...] = (
    lambda name, n: f"{name}strasse {n}",
    lambda name, n: f"{name}weg {n}a",
    lambda name, n: f"{n} {name} Street",
    lambda name, n: f"{n} North {name} Ave.",
    lambda name, n: f"{n}, rue {name}",
    lambda name, n: f"Via {name}, {n}",
    lambda name, n: f"Calle {name} {n}",
    lambda name, n: f"{name}straat {n}",
    lambda name, n: f"Rua {name}, {n}",
    lambda name, n: f"ul. {name} {n}/4",
    lambda name, n: f"{name}gatan {n}",
    lambda name, n: f"{n} {name} Gardens",
)


def address(rng: random.Random) -> str:
    """A street and a number, in eight languages."""
    name = rng.choice(("Linden", "Garibaldi", "Molina", "Jackson", "Victor Hugo", "Storch", "Wiesen")).split()
    written = rng.choice(_STREETS)("Sample" if len(name) > 1 else name[0], rng.randrange(1, 200))
    return f"{written}, {rng.randrange(1000, 99999)} Musterstadt"


_OTHER_GIVEN = (
    "Zdravko",
    "Oluwaseun",
    "Ximena",
    "Thandiwe",
    "Kjersti",
    "Ruairi",
    "Aoife",
    "Nguyet",
    "Tjark",
    "Ljubica",
)
_OTHER_FAMILY = (
    "Obermoser",
    "Quispe",
    "Adeyemi",
    "Hadžić",
    "Thorvaldsen",
    "Nkosi",
    "Brzęczyk",
    "O'Shaughnessy",
    "Vâlcu",
)


def person(rng: random.Random) -> str:
    """A name of which half isn't in the lexicon."""
    given = rng.choice(_GIVEN).title() if rng.random() < 0.5 else rng.choice(_OTHER_GIVEN)
    family = rng.choice(_FAMILY).title() if rng.random() < 0.5 else rng.choice(_OTHER_FAMILY)
    return f"{given} {family}"


# --- cases -------------------------------------------------------------------------------------------------------

ROWS, RARE = 10_000, 10


def kinds() -> dict[tuple[str, str], Draw]:
    """How to draw each kind in each of its forms."""
    found: dict[tuple[str, str], Draw] = {}
    for one in IDS:
        draw = national(one)
        for form, write in forms_of(one).items():
            found[one.kind + (f" {one.module[3:].upper()}" if one.country == "ES" else ""), form] = (
                lambda rng, draw=draw, write=write: write(draw(rng))  # type: ignore[misc]
            )
    for form, write in {
        "plain": lambda text: text,
        "usual": lambda text: _fours(text, " "),
        "labelled": lambda text: f"IBAN: {_fours(text, ' ')}",
        "careless": lambda text: f" iban{_fours(text.lower(), chr(160))}. ",
    }.items():
        found["iban", form] = lambda rng, write=write: write(iban(rng))  # type: ignore[misc]
    for form, write in {
        "plain": lambda text: text,
        "usual": lambda text: _fours(text, " "),
        "labelled": lambda text: f"Visa {text}",
        "careless": lambda text: f" card:{_fours(text, '-')}; ",
    }.items():
        found["card", form] = lambda rng, write=write: write(card(rng))  # type: ignore[misc]
    for form in ("e164", "international", "double zero", "careless", "labelled", "national", "digits CH", "digits US"):
        found["phone", form] = phone(form)
    found["e-mail", "plain"] = email
    found["e-mail", "careless"] = lambda rng: f" Mail: <{email(rng).upper()}>; "
    found["e-mail", "spelt out"] = lambda rng: email(rng).replace("@", " (at) ")
    found["ipv4", "plain"] = ipv4
    found["ipv4", "careless"] = lambda rng: f"from [{ipv4(rng)}]:443"
    found["ipv6", "plain"] = ipv6
    found["ipv6", "careless"] = lambda rng: f" host {ipv6(rng).upper()}, "
    found["mac", "plain"] = mac
    found["mac", "careless"] = lambda rng: f" ({mac(rng).upper().replace(':', '-')})"
    found["us-ssn", "plain"] = ssn
    found["us-ssn", "careless"] = lambda rng: f"ssn# {ssn(rng)}."
    found["coordinates", "pair"] = lambda rng: "{}, {}".format(*coordinates(rng))
    found["coordinates", "wkt"] = lambda rng: "POINT ({1} {0})".format(*coordinates(rng))
    found["coordinates", "careless"] = lambda rng: " seen at ({};{}) ".format(*coordinates(rng))
    found["birth date", "labelled"] = lambda rng: rng.choice(
        (
            f"born {born(rng):%d.%m.%Y}",
            f"DOB: {born(rng)}",
            f"geb. am {born(rng):%d.%m.%y}",
            f"né le {born(rng):%d/%m/%Y}",
        )
    )
    found["street address", "plain"] = address
    found["street address", "careless"] = lambda rng: f"  lives at {address(rng).lower()} "
    found["name", "titled"] = lambda rng: (
        f"spoke with {rng.choice(('Mr', 'Mrs.', 'Herr', 'Frau', 'Mme'))} {person(rng)} today"
    )
    found["name", "in a sentence"] = lambda rng: f"met {person(rng)} at the site and agreed on it"
    found["name", "plain"] = person
    return found


def cases(seed: int, whole_rows: int = 60, forms: frozenset[str] | None = None) -> Iterator[Case]:
    """All columns: each kind and form, rare among other texts, and as a whole column.

    Also each kind alone: a single value in a thousand rows. `forms` are those to draw, all if not given.
    """
    rng = random.Random(seed)
    others = [filler(rng) for _ in range(ROWS)]
    sentences = [f"{text} and then some more was said about it" for text in others]
    for (kind, form), draw in kinds().items():
        if forms is not None and form not in forms:
            continue
        values: list[Any] = list(sentences if kind == "name" and form != "plain" else others)
        for place in rng.sample(range(ROWS), RARE):
            values[place] = draw(rng)
        yield Case(kind, form, "rare", "x", values, RARE)
        single: list[Any] = list(values[:1000])
        single[rng.randrange(1000)] = draw(rng)
        yield Case(kind, form, "single", "x", single, 1)
        whole: list[Any] = [draw(rng) for _ in range(whole_rows)]
        whole[::50] = [None] * len(whole[::50])
        yield Case(kind, form, "whole", "x", whole, sum(value is not None for value in whole))


def kind_of(case: Case) -> str:
    """The kind that a finding says; Spain has two numbers of one."""
    return " ".join(case.kind.split()[:3]) if case.kind.startswith("national") else case.kind
