"""Text that speaks to a model instead of saying something: found by a few forms, in four languages.

This shows people which rows try. It is no defence: whoever knows the forms writes around them. What holds is elsewhere:
the output model, ids from the sealed decision, destinations from the spec (docs/security.md).
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

from include.plain import visible

_LOOKALIKES = str.maketrans("аеорсухіјѕһԁгοαεικνρτυ", "aeopcyxijshdroaeiknptu")
"""Cyrillic and Greek letters that people read as Latin ones."""
_RULES = r"(?:instructions?|prompts?|rules|guidelines|directives?)"
_KEYS = r"(?:score|tier|confidence|priority|category|next_action)"
_FORMS = (
    # English
    rf"\b(?:ignore|disregard|forget|override|bypass)\b[^.!?]{{0,30}}\b(?:previous|prior|above|earlier|your|system)\b"
    rf"[^.!?]{{0,20}}\b{_RULES}\b",
    rf"\b(?:ignore|disregard|forget|override)\b (?:all |any |the |these |those )+{_RULES}\b",
    r"\byou are (?:now|no longer)\b[^.!?]{0,40}\b(?:assistant|model|ai|bot|dan|unrestricted|administrator)\b",
    r"\b(?:system|developer|hidden|initial) ?[_-]?(?:prompt|instructions?)\b",
    r"\b(?:reveal|print|repeat|show|output|leak)\b[^.!?]{0,20}\b(?:your|the) (?:initial |full |exact |hidden )?"
    r"(?:prompt|instructions you|instructions above|rules you)",
    r"\brepeat (?:everything|all (?:of )?the (?:text|words)) above\b",
    r"\b(?:jailbreak|developer mode|do anything now|unrestricted (?:ai|model|assistant))\b",
    r"\b(?:pretend|act as|role ?play|imagine)\b[^.!?]{0,30}\b(?:assistant|language model|ai|llm|scoring model)\b",
    r"\b(?:note|message|instructions?|attention|dear)\b[^.!?]{0,15}\b(?:the )?(?:ai|llm|language model)\b",
    r"\b(?:write|save|apply|send|store)\b[^.!?]{0,40}\b(?:record|contact|row|ticket) (?:id |number |no\. ?|# ?)?"
    r"\d+[^.!?]{0,20}\binstead\b",
    # German; accents and umlauts' dots are gone, as in all that follows
    r"\b(?:ignorier\w*|vergiss|missachte\w*)\b[^.!?]{0,40}\b(?:anweisung|vorgabe|regel|instruktion)\w*",
    r"\bdu bist (?:jetzt|nun|ab sofort)\b[^.!?]{0,40}\b(?:assistent|modell|ki|bot|administrator)\b",
    r"\b(?:systemnachricht|systemprompt|system-prompt)\b",
    # French
    r"\b(?:ignore[zr]?|oublie[zr]?)\b[^.!?]{0,40}\b(?:instructions|consignes|regles)\b",
    r"\b(?:tu es|vous etes) (?:maintenant|desormais)\b[^.!?]{0,40}\b(?:assistant|modele|ia|robot|administrateur)\b",
    r"\b(?:message|invite) (?:du )?systeme\b",
    # Spanish
    r"\b(?:ignora|ignore|olvida|olvide|omite)\b[^.!?]{0,40}\b(?:instrucciones|reglas|indicaciones)\b",
    r"\b(?:ahora|a partir de ahora) eres\b[^.!?]{0,40}\b(?:asistente|modelo|ia|bot|administrador)\b",
    r"\b(?:mensaje|prompt) del? sistema\b",
    # what is no language: fields of an answer, marks of chats and of calls to tools
    rf"\b{_KEYS}\b[\"']? ?(?:[:=]|to|is|of|on|mit|auf|de|a)? ?[\"']?(?:100|9\d|1\.0|0\.9\d?|hot|urgent)\b[^.!?]{{0,40}}"
    rf"\b{_KEYS}\b",
    rf"\b(?:answer|respond|reply|antworte|reponds|repondez|responde)\b[^.!?]{{0,30}}(?:\bjson\b|"
    rf"\b{_KEYS}\b[\"']? ?[:=]? ?[\"']?(?:\d|hot|urgent))",
    rf"\bset (?:the |its |my )?{_KEYS} (?:to|=)",
    rf"\{{ ?[\"']{_KEYS}[\"'] ?:",
    r"<\|(?:im_start|im_end|system|endoftext)\|?>?|\[/?inst\]|<</?sys>>|</?(?:system|assistant|tool_call|function_calls)>",
    r"(?:^|\n)[\W_]{0,6}(?:system|assistant|developer)\W{0,3}:",
    r"[\"'](?:tool_calls?|function_call|tool_use)[\"'] ?:|\b(?:tool_call|function_call)\b",
    r"[\"']role[\"'] ?: ?[\"'](?:system|assistant|developer)",
    r"```\s*(?:json|#|system|\{|\n)|\A```|```\Z",
)
_SPEAKS = re.compile("|".join(f"(?:{form})" for form in _FORMS))
_PACKED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_ACCENTS = re.compile("[\u0300-\u036f]")
_JOINERS = re.compile("[\u00ad\u200c\u200d]")


def speaks_to_model(text: str) -> bool:
    """Whether a text has a form of an instruction to a model, also if spelt with look-alikes or packed in base64."""
    if _SPEAKS.search(_folded(text)):
        return True
    return any(_SPEAKS.search(_folded(said)) for said in map(_unpacked, _PACKED.findall(text)) if said)


def _folded(text: str) -> str:
    """Lower case, no accents, nothing invisible, look-alikes as what they look like, one blank for several."""
    seen = _JOINERS.sub("", visible(text)).lower()
    if not seen.isascii():
        plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", seen)).lower()
        seen = plain.translate(_LOOKALIKES)
    return re.sub(r"[^\S\n]+", " ", seen)


def _unpacked(packed: str) -> str:
    """What base64 stands for, or nothing if that is no text."""
    body = packed.rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
