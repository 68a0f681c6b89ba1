"""What Airflow hands to SQLite (`[database] sql_alchemy_connect_args`)."""

CONNECT_ARGS = {"timeout": 60}
"""Seconds to wait for another process's write before 'database is locked'; the default is 5."""
