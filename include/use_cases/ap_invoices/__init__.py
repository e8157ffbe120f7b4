"""Invoices that arrived, read and held against themselves and their orders; a person confirms each of them."""
