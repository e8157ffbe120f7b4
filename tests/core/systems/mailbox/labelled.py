"""Messages whose own words are known: fixtures of talon and of email-reply-parser, with the labels of their tests.

https://github.com/mailgun/talon (tests/text_quotations_test.py, html_quotations_test.py, signature/extraction_test.py)
says that each reply of `standard_replies` is "Hello", and what is the signature of those in `stripped`; those of
`html_replies` say "Hi. I am fine." and close with "Thanks, Alex", which talon counts as a signature elsewhere.
https://github.com/zapier/email-reply-parser (test/test_email_reply_parser.py) has no whole answers for its texts, so
those below are read off the messages by hand, in agreement with its assertions.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from typing import NamedTuple

from include.settings import ROOT
from include.systems.text.html import html_text

REPLIES = ROOT.parent / "shared" / "data" / "email_replies_signatures"
FINE = "Hi. I am fine."
BY_HAND = {
    "email_1_4": "Awesome! I haven't had another problem with it.",
    "email_1_6": "I get proper rendering as well.",
    "email_1_8": "I will reply under this one\n\nand under this.",
    "email_2_1": "Outlook with a reply",
    "email_2_3": "Outlook with a reply above headers using unusual format",
    "email_gmail": "This is a test for inbox replying to a github message.",
    "email_headers_no_delimiter": "And another reply!",
    "pathological": "I think you're onto something. I will try to fix the problem as soon as I get back to a computer.",
}
WHOLE = ("email_sig_delimiter_in_middle_of_line",)


class Labelled(NamedTuple):
    """A message's text, who sent it, and the writer's own words."""

    name: str
    body: str
    sender: str
    own: str


def labelled() -> Iterator[Labelled]:
    talon, zapier = REPLIES / "talon", REPLIES / "zapier"
    for path in sorted((talon / "standard_replies").glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes())
        part = next(part for part in message.walk() if part.get_content_type() == "text/plain")
        yield Labelled(path.stem, bytes(part.get_payload(decode=True) or b"").decode(), str(message["From"]), "Hello")
    for path in sorted((talon / "html_replies").glob("*.html")):
        yield Labelled(path.stem, html_text(path.read_text(encoding="utf-8"), mark_quotes=True), "Alex", FINE)
    outlook = html_text((talon / "OLK_SRC_BODY_SECTION.html").read_text(), mark_quotes=True)
    yield Labelled("OLK_SRC_BODY_SECTION", outlook, "Rob", "Reply")
    for path in sorted((talon / "signature" / "emails" / "stripped").glob("*_body")):
        body, name = path.read_text(encoding="utf-8").replace("#sig#", ""), path.name.removesuffix("_body")
        signature, sender = ((path.parent / f"{name}_{kind}").read_text().strip() for kind in ("signature", "sender"))
        yield Labelled(name, body, sender, body.strip().removesuffix(signature.replace("#sig#", "")))
    russian = (talon / "signature" / "emails" / "P" / "unicode_msg").read_text(encoding="utf-8")
    sender, _, body = russian.partition("\n")
    yield Labelled("unicode_msg", body, sender, body.partition("С уважением")[0])
    for name, own in BY_HAND.items():
        yield Labelled(name, (zapier / f"{name}.txt").read_text(encoding="utf-8"), "", own)
    for name in WHOLE:
        text = (zapier / f"{name}.txt").read_text(encoding="utf-8")
        yield Labelled(name, text, "", text)
    partial = (zapier / "email_partial_quote_header.txt").read_text(encoding="utf-8")
    yield Labelled("email_partial_quote_header", partial, "", partial.partition("On 9 Jan 2014")[0])
    bottom = (zapier / "email_1_2.txt").read_text(encoding="utf-8")
    own = "Hi,\n" + bottom[bottom.index("You can list") : bottom.index("> \n> -Abhishek")]
    yield Labelled("email_1_2", bottom, "", own)


def plainest(body: str) -> str:
    """The simplest rule: all before the first line that is quoted, says who wrote, or is the delimiter."""
    return re.split(r"(?m)^(?:>.*|On .* wrote:|-- ?)$", body)[0]


def same(one: str, other: str) -> bool:
    return one.split() == other.split()
