"""Pseudonyms: what a store may say about a patient without saying who it is."""

from __future__ import annotations

import hashlib
import hmac
import os
import re

SALT_VARIABLE = "PLR_FAST_PATIENT_SALT"
"""Environment variable with the salt, for those who do not want it in their shell's history."""

_DIGITS = 16  # 64 bits: the chance that any two of a million patients share a pseudonym is 3e-8

# What removes identities often writes into PatientID: one name for everybody is none.
_PLACEHOLDER = re.compile(
    r"0*|x*|n/?a|none|null|unknown|anon|anonym(ous|i[sz]ed)?|de-?identified|removed|patient|test", re.IGNORECASE
)


def pseudonym(text: str, salt: str = "") -> str:
    """16 hexadecimal digits that stand for ``text``: the start of HMAC-SHA-256 with ``salt`` as the key.

    The same text and salt always give the same digits. Without a secret salt anyone can try whether a known text is
    behind them, and a short number is found by trying all.
    """
    return hmac.new(salt.encode(), text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()[:_DIGITS]


def salt_or_environment(salt: str) -> str:
    """``salt``, or what the environment variable :data:`SALT_VARIABLE` holds where it is empty."""
    return salt or os.environ.get(SALT_VARIABLE, "")


def is_placeholder(patient: str) -> bool:
    """Whether a patient id is empty or one that anonymisers give to everybody ("ANONYMOUS", "0", …)."""
    return _PLACEHOLDER.fullmatch(patient.strip()) is not None
