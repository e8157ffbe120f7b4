"""The sandbox CRM and warehouse that the tests of writing have, for what people start."""

from tests.core.night.write.conftest import begin, crm, shared_crm, warehouse

__all__ = ["begin", "crm", "shared_crm", "warehouse"]
