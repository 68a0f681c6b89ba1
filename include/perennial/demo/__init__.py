"""The demo shop on one machine: `make run` and `make stop`.

`install` makes the virtual environment. `environment` defines the folder of local state and the environment
variables of the servers. `servers` starts and stops the servers. `drive_days` runs the demo's days through
Airflow. `progress` and `summary` print what happens and what came out. `config` holds the YAML files in which
the demo differs from `include/config`.
"""
