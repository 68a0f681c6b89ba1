"""Connection arguments of Airflow's SQLite database (`[database] sql_alchemy_connect_args`)."""

CONNECT_ARGS = {"timeout": 60}
"""Seconds to wait for another process's write before the error 'database is locked'; the default is 5."""
