"""Forecast demand by product and plant, and propose quantities to the ERP."""
