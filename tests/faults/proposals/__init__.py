"""A use case of the histories' own: rows from files of an SFTP server, answers to an ERP's forecast proposals."""

from pathlib import Path


def install(site: Path) -> None:
    """Leave in a folder what pip would leave of a package whose entry point names this use case."""
    found = site / "nightledger_faults-1.0.dist-info"
    found.mkdir(parents=True)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: nightledger-faults\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text(f"[nightledger.use_cases]\nfault_proposals = {__name__}\n")
