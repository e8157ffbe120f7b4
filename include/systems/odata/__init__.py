"""Entity sets of an ERP or any other system that speaks OData v4."""
