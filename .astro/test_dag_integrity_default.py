"""What `astro dev parse` runs: every file of `dags/` gives its DAG. The rest of the policy is in tests/dags."""

from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[1] / "dags"


def test_every_file_gives_its_dag() -> None:
    bag = DagBag(dag_folder=str(DAGS))
    assert bag.import_errors == {}
    assert set(bag.dags) == {file.stem for file in DAGS.glob("*.py")}
