"""Where the demo keeps its state, and the environment variables of its servers and tasks.

The state is in one folder: `.perennial` in the repository, or `PERENNIAL_STATE`. The servers use two ports:
`PERENNIAL_AIRFLOW_PORT` (8080) and `PERENNIAL_MLFLOW_PORT` (5000). `PERENNIAL_DAGS` names another DAG folder.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from perennial.demo import state_folder
from perennial.demo.state_folder import REPOSITORY as REPOSITORY

CONFIG = Path(__file__).resolve().parent / "config"
"""The demo shop's own YAML files. A file that is missing here is read from `include/config`."""
LOOPBACK = "127.0.0.1"
USER = "admin"

PRELOADED = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.serialization.serialized_objects",
    "airflow.providers.standard.decorators.python",
    "pandas",
    "pyarrow.parquet",
    "deltalake",
    "duckdb",
    "ibis.backends.duckdb",
    "great_expectations",
    "sklearn.linear_model",
    "lightgbm",
    "torch",
    "mlflow",
)
"""Modules that the fork server imports once. This saves about 8 CPU seconds for each task process."""


def _password() -> str:
    return secrets.token_urlsafe(15)


def _key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


SECRETS: Mapping[str, Callable[[], str]] = {
    "AIRFLOW_PASSWORD": _password,
    "AIRFLOW_JWT_SECRET": _key,
    "AIRFLOW_API_SECRET_KEY": _key,
    "AIRFLOW_FERNET_KEY": _key,
    "MLFLOW_PASSWORD": _password,
    "MLFLOW_FLASK_SECRET": _key,
    "PERENNIAL_PSEUDONYM_KEY": _key,
}


@dataclass(frozen=True)
class State:
    """The folder with everything that the demo makes, and the two ports of its servers."""

    root: Path
    airflow_port: int = 8080
    mlflow_port: int = 5000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "State":
        """The state that the environment names. Raises ValueError if a port is not a number."""
        variables = os.environ if environment is None else environment
        return cls(
            root=Path(variables.get("PERENNIAL_STATE") or state_folder.DEFAULT).expanduser().resolve(),
            airflow_port=int(variables.get("PERENNIAL_AIRFLOW_PORT") or 8080),
            mlflow_port=int(variables.get("PERENNIAL_MLFLOW_PORT") or 5000),
        )

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's UI and API."""
        return f"http://{LOOPBACK}:{self.mlflow_port}"

    @property
    def airflow_home(self) -> Path:
        """Airflow's database and password file."""
        return self.root / "airflow"

    @property
    def mlflow_home(self) -> Path:
        """MLflow's databases and artifacts."""
        return self.root / "mlflow"

    @property
    def workplace(self) -> Path:
        """Working directory of our servers and tasks, and of no other process: it identifies them."""
        return self.root / "servers"

    @property
    def logs(self) -> Path:
        """Folder of the servers' logs and of the task logs."""
        return self.root / "logs"

    @property
    def task_logs(self) -> Path:
        """Airflow's task logs."""
        return self.logs / "tasks"

    @property
    def landing(self) -> Path:
        """Where the demo shop's files land."""
        return self.root / "landing"

    @cached_property
    def secrets(self) -> Mapping[str, str]:
        """Passwords and keys, made once and kept in `env`, which only the owner can read."""
        path = self.root / "env"
        state_folder.mark(self.root)
        lines = path.read_text().splitlines() if path.exists() else []
        stored = dict(line.split("=", 1) for line in lines if "=" in line)
        values = {name: stored.get(name) or make() for name, make in SECRETS.items()}
        if missing := {name: value for name, value in values.items() if value != stored.get(name)}:
            # Other lines are kept: a file called `env` may have been there before the demo.
            new_lines = [line for line in lines if line.partition("=")[0] not in missing]
            new_lines += [f"{name}={value}" for name, value in missing.items()]
            _write_private(path, "".join(f"{line}\n" for line in new_lines))
        return values

    def write_credentials(self) -> None:
        """Make the servers' folders, and the files that Airflow and MLflow read their logins from."""
        state_folder.mark(self.root)
        self.workplace.mkdir(parents=True, exist_ok=True)
        self.airflow_home.mkdir(parents=True, exist_ok=True)
        self.mlflow_home.mkdir(parents=True, exist_ok=True)
        _write_private(self._airflow_passwords, json.dumps({USER: self.secrets["AIRFLOW_PASSWORD"]}))
        _write_private(
            self._mlflow_auth,
            "[mlflow]\n"
            "default_permission = READ\n"
            f"database_uri = sqlite:///{self.mlflow_home / 'auth.db'}\n"
            f"admin_username = {USER}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "grant_default_workspace_access = false\n"
            "auth_cache_ttl_seconds = 300\n",
        )

    def environment(self) -> dict[str, str]:
        """Environment of all servers and tasks, without inherited settings of Airflow, MLflow and Python."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "MLFLOW", "PYTHON"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return inherited | {"PATH": path} | self.server_settings()

    def server_settings(self) -> dict[str, str]:
        """Our part of the servers' environment. They read the demo shop's YAML files.

        `PERENNIAL_CONFIG` names another folder of YAML files; the servers start in another folder, so its
        path is made absolute here.
        """
        config = Path(os.environ.get("PERENNIAL_CONFIG") or CONFIG).expanduser().resolve()
        return self.settings() | {"PERENNIAL_CONFIG": str(config)}

    def settings(self) -> dict[str, str]:
        """The same without the folder of the YAML files; also used by commands for any shop."""
        return self._for_everyone() | self._for_airflow() | self._for_mlflow()

    @property
    def _airflow_passwords(self) -> Path:
        return self.airflow_home / "passwords.json"

    @property
    def _mlflow_auth(self) -> Path:
        return self.mlflow_home / "auth.ini"

    def _for_everyone(self) -> dict[str, str]:
        defaults = {
            "PERENNIAL_LAKE": str(self.root / "lake"),
            "PERENNIAL_VAULT": str(self.root / "vault"),
            "PERENNIAL_STAGING": str(self.root / "staging"),
            "PERENNIAL_PSEUDONYM_KEY": self.secrets["PERENNIAL_PSEUDONYM_KEY"],
            "PERENNIAL_LANDING": str(self.landing),
            "PERENNIAL_REPORTS": str(self.root / "reports"),
            "PERENNIAL_LEDGER": f"sqlite:///{self.root / 'ledger.db'}",
            "PERENNIAL_WHEN_NOTHING_LANDED": "skip",
            "PERENNIAL_THREADS": str(cores()),
        }
        return {name: os.environ.get(name, value) for name, value in defaults.items()} | {
            "PYTHONPATH": str(REPOSITORY / "include"),
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
            "NO_PROXY": f"{LOOPBACK},localhost",
            "no_proxy": f"{LOOPBACK},localhost",
            # One task gets all cores that are free: two at a time would each start as many threads.
            "OMP_NUM_THREADS": str(cores()),
            # Waiting threads release their core: spinning threads make a parallel task several times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "DO_NOT_TRACK": "true",
            "GX_ANALYTICS_ENABLED": "false",
            "MPLBACKEND": "Agg",
            # Without this, macOS kills a forked process that uses Objective-C.
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }

    def _for_airflow(self) -> dict[str, str]:
        options: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": os.environ.get("PERENNIAL_DAGS") or REPOSITORY / "dags",
                "plugins_folder": REPOSITORY / "plugins",
                "executor": "LocalExecutor",
                "parallelism": cores() + 1,
                "load_examples": False,
                "dags_are_paused_at_creation": False,
                "fernet_key": self.secrets["AIRFLOW_FERNET_KEY"],
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": self._airflow_passwords,
                "execution_api_server_url": f"{self.airflow_url}/execution/",
                "min_serialized_dag_update_interval": 5,
                # Workers are forked from a server that has already imported what tasks need.
                "mp_start_method": "forkserver",
                "mp_forkserver_preload": ",".join(PRELOADED),
            },
            "database": {
                "sql_alchemy_conn": f"sqlite:///{self.airflow_home / 'airflow.db'}",
                "sql_alchemy_connect_args": "perennial.demo.sqlite.CONNECT_ARGS",
                "sql_alchemy_connect_args_async": "perennial.demo.sqlite.CONNECT_ARGS",
            },
            "logging": {
                "base_log_folder": self.task_logs,
                "dag_processor_child_process_log_directory": self.logs / "dags",
                "colored_console_log": False,
                "logging_config_class": "perennial.orchestration.task_logs.LOGGING_CONFIG",
            },
            "api": {
                "host": LOOPBACK,
                "port": self.airflow_port,
                "base_url": self.airflow_url,
                "workers": 1,
                "secret_key": self.secrets["AIRFLOW_API_SECRET_KEY"],
                "instance_name": "Perennial",
            },
            "api_auth": {"jwt_secret": self.secrets["AIRFLOW_JWT_SECRET"]},
            # A loaded machine answers late. That must not kill a healthy task.
            "workers": {
                "execution_api_timeout": 30,
                "max_failed_heartbeats": 30,
                # A supervisor notices the end of its task at most this many seconds late.
                "min_heartbeat_interval": 1,
            },
            "scheduler": {
                "scheduler_idle_sleep_time": 0.2,
                # On a loaded machine a scheduler can be half a minute late. It must not count as dead then,
                # because its tasks would be started again. `servers` marks a dead scheduler itself.
                "scheduler_health_check_threshold": 180,
                "task_instance_heartbeat_timeout": 120,
            },
            "dag_processor": {
                # A changed file is parsed at once in any case, because its modification time changes.
                "min_file_process_interval": 900,
                "refresh_interval": 30,
                "parsing_processes": 1,
                "print_stats_interval": 0,
            },
        }
        variables = {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, values in options.items()
            for name, value in values.items()
        }
        mlflow = {
            "conn_type": "http",
            "host": LOOPBACK,
            "port": self.mlflow_port,
            "schema": "http",
            "login": USER,
            "password": self.secrets["MLFLOW_PASSWORD"],
        }
        return variables | {"AIRFLOW_HOME": str(self.airflow_home), "AIRFLOW_CONN_MLFLOW": json.dumps(mlflow)}

    def _for_mlflow(self) -> dict[str, str]:
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(self._mlflow_auth),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["MLFLOW_PASSWORD"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["MLFLOW_FLASK_SECRET"],
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, under a temporary name, then rename it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
