"""The steps of a night, in their order: extract, check, plan, enrich, gate, write, close."""
