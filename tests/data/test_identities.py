"""Pseudonyms of patients."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from plr_fast.data.identities import is_placeholder, pseudonym
from plr_fast.data.prepare_config import PrepareConfig
from plr_fast.data.readers import ReadOptions


def test_is_the_start_of_an_hmac() -> None:
    expected = hmac.new(b"salt", b"MRN1", hashlib.sha256).hexdigest()[:16]
    assert pseudonym("MRN1", "salt") == expected
    assert len({pseudonym(text, salt) for text in ("MRN1", "MRN2") for salt in ("", "salt")}) == 4


@pytest.mark.parametrize("text", ["", " ", "0", "0000", "ANONYMOUS", "anonymized", "Unknown", "N/A", "XXX"])
def test_placeholders(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["1", "00001", "LIDC-IDRI-0001", "anon7", "P"])
def test_no_placeholders(text: str) -> None:
    assert not is_placeholder(text)


def test_who_is_who() -> None:
    hashed = ReadOptions(patient_salt="s")
    assert hashed.identify("MRN1", "1.2") == pseudonym("MRN1", "s")
    assert hashed.identify("ANON", "1.2") == "study-" + pseudonym("1.2", "s")
    assert hashed.identify("", "") == ""
    assert ReadOptions(patient_ids="keep").identify("MRN1", "1.2") == "MRN1"
    assert "1.2" not in ReadOptions(patient_ids="keep").identify("", "1.2.3")
    assert ReadOptions(patient_ids="none").identify("MRN1", "1.2") == ""


def test_the_salt_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PrepareConfig("x", "y", patient_salt="sesame")
    assert "sesame" not in repr(config)
    assert "sesame" not in repr(config.read_options)
    monkeypatch.setenv("PLR_FAST_PATIENT_SALT", "open")
    assert PrepareConfig("x", "y").read_options.patient_salt == "open"
    assert config.read_options.patient_salt == "sesame"


def test_chosen_slices() -> None:
    assert list(ReadOptions().chosen(5)) == [0, 1, 2, 3, 4]
    assert list(ReadOptions(every=2).chosen(5)) == [0, 2, 4]
    assert list(ReadOptions(part=(0.2, 0.8)).chosen(10)) == [2, 3, 4, 5, 6, 7]
    assert list(ReadOptions(part=(0.5, 0.6), every=3).chosen(1)) == [0]
    assert list(ReadOptions(part=(0.9, 1.0)).chosen(2)) == [1]
    assert list(ReadOptions().chosen(0)) == []
