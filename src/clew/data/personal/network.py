"""Addresses of machines: IP and MAC."""

import ipaddress
import re
from typing import Final

_IPV4: Final = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{6,39}(?![\w:])")
_MAC: Final = re.compile(
    r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})(?![\w:-])"
)


def ipv4(text: str) -> str | None:
    """An address of a host; not this machine, nobody or everybody."""
    for found in _IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(found[0])
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified or found[0] == "255.255.255.255"):
            return found[0]
    return None


def ipv6(text: str) -> str | None:
    """An address of a host with at least three groups."""
    for found in _IPV6.finditer(text):
        if len([group for group in found[0].split(":") if group]) < 3:
            continue
        try:
            ipaddress.IPv6Address(found[0])
        except ValueError:
            continue
        return found[0]
    return None


def mac(text: str) -> str | None:
    """Six bytes of hex; digits alone may be a time."""
    for found in _MAC.finditer(text):
        if re.search("[A-Fa-f]", found[0]):
            return found[0]
    return None
