"""Missing industries and stale sizes of companies in the CRM."""
