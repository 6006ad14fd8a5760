"""The card's section tells the verdict and the table, and is literal text whatever names hold."""

from __future__ import annotations

from augment.report.html.card_section import card_section
from augment.report.html.document import Balance, ReportDocument
from tests.report.html import factory


def test_the_section_has_the_verdict_the_arms_and_their_intervals() -> None:
    text = card_section(factory.document())
    assert text.startswith("## Does it help?\n\n**Fill up the three rarest classes")
    assert "| GAN, tail, weight 0.5 (recommended) | 90.3% | +1.31 | +0.52 to +2.10 |" in text
    assert "| balanced softmax (best control) | 89.0% | – | – |" in text
    assert "0.8% (0.4% to 1.6%) of the samples" in text
    assert "no more than chance explains" in text
    assert text.endswith("\n")


def test_what_was_not_measured_is_said_or_left_out() -> None:
    text = card_section(ReportDocument(title="", balance=Balance.of(())))
    assert text == "## Does it help?\n\nWhether these samples help a classifier was not measured.\n"


def test_a_text_cannot_break_the_section() -> None:
    hostile = "<script>\n---\n# x | [a](http://b)"
    found = factory.recommendation([]).model_copy(
        update={"headline": hostile, "reason": hostile, "warnings": (hostile,)}
    )
    arms = [arm.model_copy(update={"name": f"{arm.name} | {hostile}"}) for arm in factory.lift().arms]
    names = {"control": arms[2].name, "recommended": arms[-1].name}
    lift = factory.lift().model_copy(update={"arms": tuple(arms)} | names)
    text = card_section(factory.document(recommendation=found, lift=lift))
    assert "<script>" not in text
    assert "\n---" not in text
    rows = [line for line in text.splitlines() if line.startswith("| GAN")]
    assert rows
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
