"""What the people behind an experiment know and the program cannot: the optional ``card:`` of an experiment's file.

All of it is plain text for the model card and the checklists, and nothing in it changes a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ConfigError
from ...spelling import nearest
from ..results import Results

CARD_FACTS: Mapping[str, str] = {
    "authors": "who made it, and whom to ask",
    "background": "the clinical question, what exists already, and why this was done",
    "hypotheses": "what was expected before the results were seen",
    "intended_use": "who would use such a model, for whom, and where in care",
    "inequalities": "known differences in health or care between groups of people in this field",
    "data_sources": "where the slices come from and why they were chosen",
    "data_licence": "under which terms the data may be used",
    "sites": "hospitals, countries and level of care",
    "dates": "when the scans were taken",
    "eligibility": "who was included and excluded, and how patients were found",
    "population": "age, sex, ethnicity, severity and other traits, for each part of the data",
    "treatments": "treatments received, where they matter",
    "acquisition": "scanners, protocols, reconstruction, and how slices were chosen of a scan",
    "deidentification": "how data were made anonymous, and who vouches for it",
    "reference_standard": "what makes a slice positive, and why that was chosen as the truth",
    "annotators": "who assigned the labels, with which training, blinded to what",
    "rater_agreement": "how well annotators agree with themselves and each other",
    "sample_size": "how the number of patients was arrived at",
    "missing_data": "what was missing, and what was done about it",
    "external_data": "results on data of other sites",
    "subgroups": "results for groups of people, and what was done for fairness",
    "failures": "what the cases have in common that were called wrongly",
    "ethics": "ethics committee, approval number, consent or waiver",
    "funding": "money and other support, and the funders' part in the work",
    "conflicts": "conflicts of interest",
    "protocol": "where the protocol is",
    "registration": "registry and number",
    "data_sharing": "how others get the data",
    "code_sharing": "where code and trained weights are",
    "patient_involvement": "how patients and the public took part",
    "interpretation": "what the results mean, beside those of other studies",
    "limitations": "limits that the numbers do not show",
    "usability": "how poor or missing input is dealt with, and what users must know",
    "next_steps": "what is needed before it could be used, and what is planned",
}
"""Key -> what it should tell."""


def card_facts(given: object, where: str = "card") -> dict[str, str]:
    """Check the mapping under ``card:`` and return it with plain strings; lists become lines of one text.

    Args:
        given: as read from YAML; None is nothing.
        where: for messages, such as file and line.

    Raises:
        ConfigError: not a mapping, an unknown key, or a value that is no text; names it.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} must hold keys with texts, such as authors, data_licence and ethics")
    found = {}
    for key, value in given.items():
        if key not in CARD_FACTS:
            raise ConfigError(
                f"{where}: unknown key {key!r}{nearest(str(key), CARD_FACTS)} (known: {', '.join(CARD_FACTS)})"
            )
        found[str(key)] = _text(value, f"{where}: {key}")
    return {key: text for key, text in found.items() if text}


def card_of(results: Results) -> dict[str, str]:
    """The facts that the experiment's file gave; empty where it gave none.

    Raises:
        ConfigError: they are damaged.
    """
    return card_facts(results.plan.facts.get("card"), "the experiment's card")


def _text(value: Any, where: str) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_text(one, where) for one in value)
    if value is None or isinstance(value, (Mapping, bool)):
        raise ConfigError(f"{where} must be text, or a list of texts, not {value!r}")
    return " ".join(str(value).split())
