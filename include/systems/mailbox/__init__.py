"""Messages of a folder: files of one message each, or mailboxes."""
