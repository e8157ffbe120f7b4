"""Objects of a CRM that speaks HubSpot's CRM v3 API."""
