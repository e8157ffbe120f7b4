"""Folders that drafts are written to."""

from tests.core.night.extract.conftest import drop as drop
from tests.core.night.extract.conftest import sftp_server as sftp_server
from tests.core.systems.files.conftest import local_shelf as local_shelf
from tests.core.systems.files.conftest import sftp_shelf as sftp_shelf
