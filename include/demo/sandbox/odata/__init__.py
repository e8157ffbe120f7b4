"""A stand-in for an ERP: an OData 4.0 service with stock, demand and orders, by the protocol of OASIS.

https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part1-protocol.html
"""
