from pathlib import Path

from tests.cli.conftest import Cli

PEOPLE = "email,size\nanna@example.com,1\nbert@example.com,2\n"


def test_keys(cli: Cli, home: Path) -> None:
    (home / "people.csv").write_text(PEOPLE)
    assert cli("key", "list").out.startswith("no key yet")
    assert cli("data", "policy", "people", "email", "pseudonym", "--reason", "it joins").code == 0
    assert cli("data", "add", "people", home / "people.csv").code == 0
    (one,) = cli("key", "list", "--json").json()
    assert (one["name"], one["state"]) == ("pseudonym-1", "in use")
    assert Path(one["at"]).is_file()
    assert "pseudonym-1 is in use" in cli("key", "retire", "pseudonym-1").err
    said = cli("key", "rotate", "pseudonym")
    assert "pseudonym-2 is in use: versions added from now on have other pseudonyms" in said.out
    assert cli("key", "retire", "pseudonym-1", "--json").json()["file"] == one["at"]
    assert [key["state"] for key in cli("key", "list", "--json").json()] == ["retired", "in use"]
    assert "'passport' is no purpose" in cli("key", "rotate", "passport").err


def test_an_unchanged_source_gets_new_pseudonyms_after_a_rotation(cli: Cli, home: Path) -> None:
    (home / "people.csv").write_text(PEOPLE)
    cli("data", "policy", "people", "email", "pseudonym", "--reason", "it joins")
    first = cli("data", "add", "people", home / "people.csv", "--json").json()
    assert not cli("data", "add", "people", home / "people.csv", "--json").json()["changed"]
    cli("key", "rotate", "pseudonym")
    second = cli("data", "add", "people", home / "people.csv", "--json").json()
    assert (first["version"], second["version"], second["changed"]) == (1, 2, True)


def test_a_lost_key_stops_the_add_before_anything_is_written(cli: Cli, home: Path) -> None:
    (home / "people.csv").write_text(PEOPLE)
    cli("data", "policy", "people", "email", "pseudonym", "--reason", "it joins")
    cli("data", "add", "people", home / "people.csv")
    path = Path(cli("key", "list", "--json").json()[0]["at"])
    key = path.read_text()
    path.unlink()
    (home / "people.csv").write_text(PEOPLE + "cleo@example.com,3\n")
    said = cli("data", "add", "people", home / "people.csv")
    assert said.code == 3
    assert "pseudonym-1, in use since" in said.err
    assert str(path) in said.err
    assert [one["version"] for one in cli("data", "list", "--json").json()] == [1]
    path.write_text(key)
    assert cli("data", "add", "people", home / "people.csv", "--json").json()["version"] == 2
