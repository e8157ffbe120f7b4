"""Stand-ins on loopback for the systems of a night: a CRM, an SFTP server, a model endpoint and an ERP.

They speak the vendors' real protocols, with real limits and faults on demand, but are no vendor's product: every HTTP
answer carries `Server: nightledger-sandbox`. Start them with `python -m include.demo.sandbox --state DIR`, or in a test
with `include.demo.sandbox.process.running_sandbox`.
"""
