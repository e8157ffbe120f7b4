"""The rule that proposes a draft when no model answers: the message has arrived. A person confirms every one."""

from __future__ import annotations

from include.models import Record

_SAID = {
    "en": (
        "Your message",
        "Hello{name},\n\nthank you for your message. It has arrived, and a colleague will answer here.",
    ),
    "de": (
        "Ihre Nachricht",
        "Guten Tag{name},\n\ndanke für Ihre Nachricht. Sie ist angekommen, und ein Kollege antwortet Ihnen hier.",
    ),
    "fr": (
        "Votre message",
        "Bonjour{name},\n\nmerci pour votre message. Il nous est bien parvenu, et un collègue vous répondra ici.",
    ),
    "es": (
        "Su mensaje",
        "Hola{name}:\n\ngracias por su mensaje. Lo hemos recibido, y un compañero le responderá aquí.",
    ),
}
_SIGNED = {
    "en": "Your support team",
    "de": "Ihr Support-Team",
    "fr": "Votre équipe d'assistance",
    "es": "Su equipo de asistencia",
}


def answer(row: Record) -> Record | None:
    """That the message has arrived, in the ticket's language; None for a ticket without text, or in another one."""
    language = str(row.get("ticket_language"))
    if language not in _SAID or not (row.get("ticket_subject") or row.get("ticket_body")):
        return None
    subject, body = _SAID[language]
    name = f" {row['customer_name']}" if row.get("customer_name") else ""
    return {
        "subject": subject,
        "body": f"{body.format(name=name)}\n\n{_SIGNED[language]}",
        "language": language,
        "tone": row.get("tone") or "plain",
        "guidelines": ["GEN-1", "GEN-2", "GEN-3"],
        "confidence": 0.1,
        "needs_human": "Not drafted, because no model was available: please write what the ticket asks for",
    }
