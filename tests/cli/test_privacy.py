from pathlib import Path

from tests.cli.conftest import Cli

ROWS = "email,born,zip,size,note\n" + "\n".join(
    f"p{n}@example.com,19{70 + n % 3}-0{1 + n % 9}-11,80{n % 4}1,{n},seen" for n in range(60)
)


def add(cli: Cli, home: Path, text: str = ROWS) -> None:
    (home / "people.csv").write_text(text)
    said = cli("data", "add", "people", home / "people.csv", "--json")
    assert said.code == 0, said.err


def decide(cli: Cli, *words: str) -> None:
    said = cli("data", "policy", "people", *words, "--reason", "as the register says")
    assert said.code == 0, said.err


def test_decide_store_and_report(cli: Cli, home: Path) -> None:
    decide(cli, "email", "pseudonym")
    decide(cli, "born", "generalise", "--to", "year")
    decide(cli, "zip", "generalise", "--to", "first=2")
    add(cli, home)
    shown = cli("data", "show", "people", "--json").json()
    assert dict(shown["schema"])["born"] == "int32"
    assert dict(shown["schema"])["zip"] == "string"
    # The next dump has days again, and is read as before.
    add(cli, home, ROWS + "\np99@example.com,1971-05-05,8001,99,seen")
    assert cli("data", "show", "people", "--json").json()["version"] == 2
    said = cli("data", "privacy", "people@2", "--quasi", "born,zip", "--sensitive", "size", "--min-k", "3", "--json")
    found = said.json()
    assert found["findings"] == []
    assert [one["policy"] for one in found["policies"]] == ["generalise to year", "pseudonym", "generalise to first=2"]
    (people,) = found["anonymity"]
    assert people["k"] == 20
    assert people["l"] == {"size": 20}
    words = cli("data", "privacy", "people@2", "--quasi", "born,size", "--min-k", "3")
    assert words.code == 6
    assert "61 groups, the smallest of k = 1 rows; 100.00% of rows are in groups under 3" in words.out
    assert "isn't as anonymous as asked: by born, size k is 1 of 3" in words.err


def test_the_contract_declares_what_together_tells_who_it_is(cli: Cli, home: Path) -> None:
    decide(cli, "email", "drop")
    decide(cli, "born", "generalise", "--to", "decade")
    add(cli, home)
    assert cli("data", "privacy", "people", "--json").json()["anonymity"] == []
    cli("contract", "infer", "people", "--out", "contract.toml")
    contract = home / "contract.toml"
    contract.write_text(contract.read_text() + '\n[[privacy]]\nquasi = ["born", "zip"]\nmin_k = 16\n')
    assert cli("contract", "check", "people", "--contract", contract).code == 0
    said = cli("data", "privacy", "people")
    assert said.code == 6
    assert "by born, zip k is 15 of 16" in said.err
    contract.write_text(contract.read_text().replace('"zip"]', '"plz"]'))
    said = cli("contract", "check", "people", "--contract", contract)
    assert said.code == 2
    assert "plz" in said.err


def test_a_version_from_before_a_policy_is_reported_with_what_was_decided(cli: Cli, home: Path) -> None:
    decide(cli, "email", "allow")
    decide(cli, "born", "drop")
    add(cli, home)
    (one,) = cli("data", "privacy", "people", "--json").json()["findings"]
    assert (one["column"], one["kind"], one["policy"], one["open"]) == ("email", "e-mail", "allow", False)
    cli("data", "policy", "people", "email", "--withdraw")
    assert "none: OPEN" in cli("data", "privacy", "people").out
    assert [one["column"] for one in cli("data", "policy", "people", "--json").json()] == ["born"]


def test_wrong_policies_are_refused_before_anything_is_written(cli: Cli, home: Path) -> None:
    decide(cli, "e_mail", "drop")
    said = cli("data", "add", "people", _file(home))
    assert said.code == 2
    assert "name columns that the table hasn't: e_mail; it has: email" in said.err
    assert "clew data policy people e_mail --withdraw" in said.err
    cli("data", "policy", "people", "e_mail", "--withdraw")
    decide(cli, "email", "drop")
    decide(cli, "size", "generalise", "--to", "year")
    said = cli("data", "add", "people", _file(home))
    assert said.code == 2
    assert "column 'size' of type Int64 can't be generalised by year" in said.err
    assert cli("data", "show", "people").code == 3
    for words, what in (
        (("size", "generalise"), "has to be said how"),
        (("size", "drop", "--to", "year"), "nothing else has"),
        (("size", "generalise", "--to", "fog"), "no way to generalise"),
    ):
        said = cli("data", "policy", "people", *words, "--reason", "x")
        assert (said.code, what in said.err) == (2, True)
    decide(cli, "size", "allow")
    decide(cli, "born", "generalise", "--to", "decade")
    add(cli, home)
    said = cli("data", "policy", "people", "emial", "drop", "--reason", "x")
    assert said.code == 3
    assert "people has no column 'emial'; it has: born, zip" in said.err
    decide(cli, "phone", "drop", "--new")
    assert cli("data", "policy", "people", "nope", "--withdraw").code == 3


def test_a_column_that_is_new_says_so_in_the_mend(cli: Cli, home: Path) -> None:
    decide(cli, "email", "drop")
    decide(cli, "born", "generalise", "--to", "decade")
    add(cli, home)
    (home / "people.csv").write_text("born,zip,size,note,tel\n1970-01-11,8001,3,seen,+41 44 668 18 00\n")
    said = cli("data", "add", "people", home / "people.csv")
    assert said.code == 6
    assert 'clew data policy people tel allow|drop|pseudonym|generalise --reason "…" --new' in said.err


def _file(home: Path) -> Path:
    (home / "people.csv").write_text(ROWS)
    return home / "people.csv"
