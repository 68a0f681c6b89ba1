"""Invented e-mail addresses, telephone numbers, push tokens and consents, which the demo's data lacks.

They are always the same. The domains (RFC 2606) and the numbers are reserved, so they reach no person.
"""

import base64
import hashlib

_SEED = "perennial"
_CONSENT_SHARES = {"email": 0.9, "sms": 0.3, "push": 0.5}
_DOMAINS = ("example.com", "example.net", "example.org")
_AREA_CODES = (
    *("202", "206", "212", "213", "214", "215", "216", "303", "305", "312", "313", "314", "323"),
    *("404", "412", "415", "503", "512", "602", "612", "615", "617", "702", "713", "718", "720"),
)
"""Each area code has 100 fictional numbers, which is enough up to household 2599."""


def consents(customer: str) -> list[str]:
    """The channels that a household agreed to."""
    return [channel for channel, share in _CONSENT_SHARES.items() if _chance(channel, customer) < share]


def contact(customer: str) -> dict[str, str | None]:
    """Invented contact data of a household: e-mail address, telephone number, push token or None."""
    area, number = divmod(int(customer), 100)
    domain = _DOMAINS[int(len(_DOMAINS) * _chance("domain", customer))]
    digest = hashlib.shake_256(f"{_SEED}/token/{customer}".encode()).digest(117)
    token = base64.urlsafe_b64encode(digest).decode()
    return {
        "email": f"household.{customer}@{domain}",
        "phone": f"+1{_AREA_CODES[area]}55501{number:02}",
        "push_token": f"{token[:22]}:APA91b{token[22:]}" if "push" in consents(customer) else None,
    }


def _chance(channel: str, customer: str) -> float:
    """A number in [0, 1), always the same for the same channel (or other name of a draw) and customer."""
    digest = hashlib.sha256(f"{_SEED}/{channel}/{customer}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
