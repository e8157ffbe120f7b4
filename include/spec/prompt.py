"""Prompt files: front matter, then `# system` and `# user` parts, rendered by Jinja2 in its sandbox."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from include.canonical import canonical, digest
from include.errors import ConfigurationError
from include.models import Record
from include.spec.use_case import UseCase

_PARTS = re.compile(r"\A\+\+\+\n(?P<front>.*?)\n\+\+\+\n+# system\n(?P<system>.*?)\n# user\n(?P<user>.*)\Z", re.DOTALL)

_STRICTER = (
    "Your last answer could not be used: {problem}. Answer again with one JSON object that fits the schema and nothing "
    "else."
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt version; `hash` covers both parts, so an edit without a new version is still seen in the ledger."""

    name: str
    version: str
    system: str
    user: str
    stricter: str

    @property
    def hash(self) -> str:
        """sha256 over everything that is sent."""
        return digest({"system": self.system, "user": self.user, "stricter": self.stricter})

    def as_mapping(self) -> dict[str, str]:
        """The fields that the ledger keeps once per hash."""
        return {
            "name": self.name,
            "version": self.version,
            "hash": self.hash,
            "system": self.system,
            "user": self.user,
        }

    def render(self, row: Record) -> str:
        """The user message for one row; the template sees `row` and `record` (the row as canonical JSON).

        Raises ConfigurationError if the template asks for a column that the spec does not let the model see.
        """
        try:
            return _compile(self.user).render(row=row, record=canonical(row)).strip()
        except TemplateError as error:
            raise ConfigurationError(f"cannot be rendered: {error}", system="prompt", about=self.version) from error


@lru_cache(maxsize=16)
def _compile(text: str) -> Template:
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(text)


def load_prompt(case: UseCase) -> Prompt:
    """Read the prompt file that the spec pins; raises ConfigurationError naming the file and what is wrong in it.

    Where nobody is asked, the prompt on record is an empty one.
    """
    return read_prompt(case.prompt_file) if case.model else Prompt(case.name, "none", "", "", "")


def read_prompt(path: Path) -> Prompt:
    """Read one prompt file (see the module's docstring for its form)."""
    try:
        parts = _PARTS.match(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError("the prompt file cannot be read", system="prompt", about=path.name) from error
    if parts is None:
        raise ConfigurationError(
            "needs TOML between two +++ lines, then `# system` and `# user`", system="prompt", about=path.name
        )
    front = tomllib.loads(parts["front"])
    missing = {"name", "version", "stricter"} - front.keys()
    if missing:
        raise ConfigurationError(f"front matter lacks {sorted(missing)}", system="prompt", about=path.name)
    return Prompt(front["name"], front["version"], parts["system"].strip(), parts["user"].strip(), front["stricter"])


def read_any_prompt(path: Path) -> Prompt:
    """Read a prompt file of any form, to try one out.

    Without front matter, a file with `{{ ... }}` in it is the user message, and any other is the system message, with
    the row as JSON for the user message. The version is the hash of the text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("the prompt file cannot be read", system="prompt", about=path.name) from error
    if text.startswith("+++"):
        return read_prompt(path)
    is_user = "{{" in text or "{%" in text
    system, user = ("Answer with one JSON object that fits the schema.", text) if is_user else (text, "{{ record }}")
    return Prompt(path.stem, digest(text)[:12], system.strip(), user.strip(), _STRICTER)
