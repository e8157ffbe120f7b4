"""Texts as they come: HTML without its marks, tokens with their place."""
