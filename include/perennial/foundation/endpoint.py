"""Where a server is and how to log in: what an Airflow connection becomes below the DAG files."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """A server's address with its login. The password shows in no representation, so in no log."""

    url: str
    login: str = ""
    password: str = field(default="", repr=False)
