"""What somebody wrote in a message, apart from what was quoted and from the signature; by rules, in many languages.

Attributions, headers and closings are those of the usual programs. A text in which no rule holds is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from include.systems.text.tokens import terms

_WROTE = "wrote|writes|schrieb|schrieben|a écrit|escribió|ha scritto|schreef|escreveu|skrev|kirjoitti|napisał\\(a\\)"
_WROTE += "|napisał|napsal|написал|написала|пишет|写道|のメール"
_ON_A_DAY = re.compile(
    rf"(?:on|am|le|el|il|op|em|den|w dniu|dne|pe)\b.{{4,300}}\b(?:{_WROTE})\b.{{0,60}}:", re.IGNORECASE
)
_SOMEBODY = re.compile(rf"[^<\s].{{1,200}}\b(?:{_WROTE}) ?:", re.IGNORECASE)
_DATED = re.compile(r"(?=.{0,250}\d).{0,250}<[^<>\s]{1,200}@[^<>\s]{1,200}>\s?:")
"""A date and an address, as Russian and Japanese programs write it: `26.06.2014, 14:41, "A" <a@example.com>:`."""
_ORIGINAL = re.compile(
    r"[-_\s]{2,20}(?:original message|original appointment|ursprüngliche nachricht|message d'origine|mensaje original"
    r"|messaggio originale|oorspronkelijk bericht|mensagem original|исходное сообщение|forwarded message"
    r"|weitergeleitete nachricht)[-_\s]{0,20}|begin forwarded message:",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"[*\s]{0,3}(?P<name>from|sent|to|cc|date|subject|von|gesendet|an|datum|betreff|de|envoyé|date|à|objet|para|enviado"
    r"|asunto|fecha|da|inviato|a|oggetto|van|verzonden|aan|onderwerp|assunto|от|отправлено|кому|дата|тема)\s?[*\s]{0,3}:.*",
    re.IGNORECASE,
)
_FIRST = frozenset(("from", "von", "de", "da", "van", "от"))
_RULE = re.compile(r"\s*[-_=*]{5,}\s*")
_DELIMITER = re.compile(r"\s?(?:--|—|__+|\*\*+)\s*")
"""RFC 3676, 4.3 has `-- `; programs that trim lines leave `--`, lists put a line of underscores."""
_DEVICE = re.compile(
    r"(?:sent (?:from|with|via) (?:my|a|the|mail|outlook|yahoo|iphone|ipad|android|sparrow|proton).{0,60}"
    r"|(?:gesendet|von meinem|envoyé (?:de|depuis)|enviado (?:desde|do|de) (?:mi|meu)|inviato (?:da|dal) mio"
    r"|verzonden vanaf|отправлено \w{1,2}) ?.{0,60}|get outlook for .{0,40})",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:many |with )?thanks(?: again| a lot| in advance)?|thank you(?: very much| in advance)?|cheers|sincerely"
    r"|yours(?: sincerely| truly| faithfully)?|(?:with )?(?:best|kind|warm|many)?(?:est)? ?(?:regards|wishes)|best"
    r"|mit (?:freundlichen|besten|lieben|herzlichen) grüßen|(?:viele|liebe|beste|schöne|herzliche|freundliche) grüße"
    r"|(?:freundlichen|besten) gruß|gruß|grüße|mfg|vg|lg|cordialement|bien à vous|(?:un )?(?:cordial )?saludos?"
    r"|(?:cordiali|distinti) saluti|met vriendelijke groet(?:en)?|atenciosamente|med vänlig hälsning"
    r"|z poważaniem|pozdrawiam|\w уважением|敬具)[\s,.!:-]*",
    re.IGNORECASE,
)
_CONTACT = re.compile(r"@[\w-]+\.\w|\bwww\.|https?://|(?:\+|\(|\b0|\b\d{3}[-. ])[\d\s().-]{6,}\d|skype:", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:\S{1,70}\s{1,10}){3,}\S{0,70}\w{3}(?<!\bInc)(?<!\bLtd)[.!]|.{1,70}\?")
_LONGEST_ATTRIBUTION, _LONGEST_LINE, _MOST_LINES, _MOST_SPARSE = 400, 70, 12, 30


class Reply(NamedTuple):
    """The writer's own words; the signature under them; and whether anything was quoted."""

    text: str
    signature: str
    quoted: bool


def split_reply(body: str, sender: str = "") -> Reply:
    """The writer's own words in a message; `sender` is the name or address that it came from.

    Words between quotations stay. Where there is nothing but a quotation, as in a message that is passed on, it stays.
    """
    lines = [line.rstrip() for line in body.splitlines()]
    own = _unquoted(lines)
    quoted = own != lines
    if not any(line.strip() for line in own):
        own, quoted = lines, False
    words, signature = _signed(own, sender)
    return Reply(_joined(words), _joined(signature), quoted)


def _joined(lines: Sequence[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _unquoted(lines: Sequence[str]) -> list[str]:
    own, at = list[str](), 0
    while at < len(lines):
        if _is_quoted(lines[at]):
            at += 1
            continue
        if _ORIGINAL.fullmatch(lines[at]) or _begins_headers(lines, at):
            while own and (not own[-1].strip() or _RULE.fullmatch(own[-1])):
                own.pop()
            break
        taken = _attribution(lines, at)
        if not taken:
            own.append(lines[at])
            at += 1
            continue
        at += taken
        if not _quotes_follow(lines, at):
            break
    return own


def _is_quoted(line: str) -> bool:
    return line.startswith(">") or line.startswith(" >")


def _begins_headers(lines: Sequence[str], at: int) -> bool:
    """Whether a sender and two more headers of a message follow each other here."""
    first = _HEADER.fullmatch(lines[at][:1_000])
    if first is None or first["name"].lower() not in _FIRST:
        return False
    near = [line for line in lines[at : at + 8] if line.strip()][:5]
    return sum(_HEADER.fullmatch(line[:1_000]) is not None for line in near) >= 3


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines, of at most three, say here who wrote what follows; none if it is said nowhere or further down."""
    for count, line in enumerate(lines[at : at + 3], 1):
        if not line.strip() or _is_quoted(line) or len(line) > _LONGEST_ATTRIBUTION:
            return 0
        said = " ".join(line.strip() for line in lines[at : at + count]).replace("\uff1a", ":")
        if count == 1 and said.endswith(":") and (_SOMEBODY.fullmatch(said) or _DATED.fullmatch(said)):
            return 1
        if said.endswith(":") and _ON_A_DAY.fullmatch(said):
            return 0 if count > 1 and _attribution(lines[: at + count], at + 1) else count
    return 0


def _quotes_follow(lines: Sequence[str], at: int) -> bool:
    """Whether the next words are marked as quoted, so that what comes after them is the writer's own again."""
    return next((_is_quoted(line) for line in lines[at:] if line.strip()), True)


def _signed(lines: Sequence[str], sender: str) -> tuple[list[str], list[str]]:
    """The lines before the signature, and it."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    start = min((rule(lines[:end], sender) for rule in (_delimited, _sent_by, _closed, _named)), default=end)
    while start and not lines[start - 1].strip():
        start -= 1
    return list(lines[:start]), list(lines[start:end])


def _delimited(lines: Sequence[str], sender: str) -> int:
    """The first line that is a delimiter, or one long rule before nothing but short lines."""
    for at in range(max(len(lines) - _MOST_SPARSE, 0), len(lines)):
        rest = lines[at + 1 :]
        if _DELIMITER.fullmatch(lines[at]) and sum(bool(line.strip()) for line in rest) <= _MOST_LINES:
            return at
        if _RULE.fullmatch(lines[at]) and rest and _may_sign(rest):
            return at
    return len(lines)


def _sent_by(lines: Sequence[str], sender: str) -> int:
    """The line that names the device or program, near the end."""
    for at in range(max(len(lines) - 5, 0), len(lines)):
        if _DEVICE.fullmatch(lines[at].strip()):
            return at
    return len(lines)


def _closed(lines: Sequence[str], sender: str) -> int:
    """The last closing formula, if no sentence follows it."""
    for at in range(len(lines) - 2, max(len(lines) - _MOST_LINES, 0) - 1, -1):
        if _CLOSING.fullmatch(lines[at].strip()):
            return at if _may_sign(lines[at + 1 :]) else len(lines)
    return len(lines)


def _named(lines: Sequence[str], sender: str) -> int:
    """The last paragraph, if it is short lines of which two are contacts, or one is and the first names the sender."""
    start = max((at + 1 for at, line in enumerate(lines) if not line.strip()), default=0)
    block = lines[start:]
    if not start or not 2 <= len(block) <= _MOST_LINES or not _may_sign(block):
        return len(lines)
    contacts = sum(_CONTACT.search(line) is not None for line in block)
    named = bool(set(terms(block[0])) & set(terms(sender.partition("@")[0])))
    return start if contacts >= 2 or (contacts and named) else len(lines)


def _may_sign(lines: Sequence[str]) -> bool:
    """Whether these are short lines, and none a sentence or a question."""
    return all(len(line) <= _LONGEST_LINE and not _SENTENCE.fullmatch(line.strip()) for line in lines)
