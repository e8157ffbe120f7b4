"""How somebody is called: chat, e-mail, pagers."""
