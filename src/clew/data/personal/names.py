"""People's names and addresses: by what a column is called, and by a lexicon of names in what it holds."""

import re
from typing import Final

import polars as pl

from clew.data.personal.births import SURE
from clew.data.personal.lexicon import FAMILY, GIVEN, TITLES

_PEOPLE: Final = frozenset(
    "person people customer client patient employee worker owner seller buyer tenant landlord borrower applicant "  # noqa: SIM905  a list of words
    "contact guest user member student teacher doctor driver passenger author recipient sender spouse child parent "
    "father mother husband wife beneficiary insured holder cardholder account agent realtor witness victim".split()
)
_ALONE: Final = frozenset(
    "name names fullname firstname lastname surname forename givenname familyname middlename maidenname nickname "  # noqa: SIM905  as above
    "person seller buyer owner tenant landlord patient borrower applicant cardholder spouse realtor "
    "vorname nachname familienname prenom prénom nom apellido apellidos nombre nombres cognome imie imię nazwisko "
    "voornaam achternaam fornavn etternavn efternamn förnamn sobrenome etunimi sukunimi "
    "street address addresses addr strasse straße adresse anschrift rue calle streetaddress homeaddress indirizzo "
    "dirección direccion endereço endereco adres ulica domicilio wohnadresse".split()
)
_NAME_KINDS: Final = frozenset({"first", "last", "full", "given", "family", "middle", "maiden", "birth", "legal"})
_ADDRESS_KINDS: Final = frozenset(
    "home street postal mailing billing shipping delivery residential property house line 1 2 line1 line2".split()  # noqa: SIM905  as above
)
_TOKENS: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NAME_SHAPE: Final = re.compile(r"(?:[^\W\d_]+\.?(?:['’-][^\W\d_]+)*[\s_,.]*){1,5}")
_TITLED: Final = re.compile(rf"\b(?:{'|'.join(map(str.title, TITLES))})\b\.? (?:[A-Z]\. )?[^\W\d_a-z][^\W\d_]+")
_PAIR: Final = re.compile(r"\b([^\W\d_a-z][^\W\d_]+)(?: [A-Z]\.)? ([^\W\d_a-z][^\W\d_]+)\b")
QUICK: Final = r"\p{Lu}\pL+\.? (?:\p{Lu}\. )?\p{Lu}\pL+"
_SAMPLE: Final = 2000


def said_kind(name: str) -> str | None:
    """What a column's name says it holds: "name-like column", "birth date", or None."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = [word for word in re.split(r"[\W_]+", spaced) if word]
    joined = set(words)
    if joined & SURE or {"date", "birth"} <= joined:
        return "birth date"
    if len(words) == 1:
        return "name-like column" if words[0] in _ALONE else None
    others = joined - {"name", "address", "street", "addr"} - _PEOPLE
    if "name" in joined and not others - _NAME_KINDS and joined & (_PEOPLE | _NAME_KINDS):
        return "name-like column"
    if joined & {"address", "street", "addr"} and not others - _ADDRESS_KINDS - {"name"}:
        return "name-like column"
    return None


def like_names(values: pl.Series) -> bool:
    """Whether texts could be names or addresses: not a few categories, and of letters more than of digits."""
    distinct = values.n_unique()
    if distinct <= 12 and len(values) >= 10 * distinct:
        return False
    # codes such as S00801 are no names
    letters = values.str.count_matches(r"\p{L}")
    digits = values.str.count_matches(r"\d")
    return bool(((letters >= 2) & (letters > digits / 2)).mean() > 0.5)  # type: ignore[operator]


def are_names(values: pl.Series) -> bool:
    """Whether the lexicon knows so many of the names in a column that it holds people's names.

    Of at least twenty different texts, nearly all have a name's shape; and of whole names a quarter has a known given
    name and a tenth a known family name, of single names two fifths are known given names.
    """
    distinct = values.unique(maintain_order=True)
    if len(distinct) < 20:
        return False
    some = distinct.gather_every(max(1, len(distinct) // _SAMPLE)).to_list()
    shaped = [text for text in some if _NAME_SHAPE.fullmatch(text.strip())]
    if len(shaped) < 0.9 * len(some):
        return False
    parts = [[token.lower() for token in _TOKENS.findall(text.replace("_", " "))] for text in shaped]
    whole = [tokens for tokens in parts if 2 <= len(tokens) <= 5]
    if len(whole) >= 0.6 * len(parts):
        given = sum(bool(GIVEN.intersection(tokens)) for tokens in whole)
        family = sum(bool(FAMILY.intersection(tokens)) for tokens in whole)
        return given >= 0.25 * len(whole) and family >= 0.1 * len(whole)
    single = [tokens[0] for tokens in parts if len(tokens) == 1]
    return len(single) >= 0.9 * len(parts) and sum(token in GIVEN for token in single) >= 0.4 * len(single)


def named_in_text(text: str) -> str | None:
    """A person in a text: behind a title, or with a given name and a family name that the lexicon knows."""
    titled = _TITLED.search(text)
    if titled:
        return titled[0]
    for found in _PAIR.finditer(text):
        if found[1].lower() in GIVEN and found[2].lower() in FAMILY:
            return found[0]
    return None
