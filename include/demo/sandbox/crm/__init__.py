"""A stand-in for a CRM: speaks HubSpot CRM API v3 for contacts, companies, deals and tickets."""
