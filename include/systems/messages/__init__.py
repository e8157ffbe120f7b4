"""Messages to people and programs: webhooks, and drafts of e-mails."""
