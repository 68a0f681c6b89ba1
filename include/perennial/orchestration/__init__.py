"""What the DAG files stand on. The only package that imports Airflow."""
