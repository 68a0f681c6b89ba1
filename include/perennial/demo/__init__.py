"""The demo shop on one machine: `make run` and `make stop`.

`install` makes the virtual environment. `environment` says where local state is, and what the environment of
the servers is. `servers` starts and stops them. `drive_days` drives the demo's days through Airflow.
`progress` and `summary` show it to people. `config` has the YAML files in which the demo differs from
`include/config`.
"""
