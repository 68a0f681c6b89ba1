"""Airflow reads its home when it is first imported; the tests get one of their own."""

import os
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="perennial-airflow-"))
