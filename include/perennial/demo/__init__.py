"""The demo shop on one machine: `make run` and `make stop`.

`install` makes the virtual environment, `state` says where local state is and what the servers' environment
is, `servers` starts and stops them, `days` drives the demo's days through Airflow, `progress` and `summary`
are what a person sees of it.
"""
