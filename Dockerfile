# Perennial with Apache Airflow 3.3.2 and MLflow: one image for every service of docker-compose.yaml.
FROM python:3.11-slim

# LightGBM's OpenMP runtime.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/perennial/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/perennial/plugins \
    PYTHONPATH=/opt/perennial/include \
    PYTHONUNBUFFERED=1

# The volumes take their owner from these folders when they are first used.
RUN useradd --uid 50000 --home-dir /opt/airflow --create-home airflow \
    && install --directory --owner airflow --group airflow \
        /opt/airflow/logs /opt/airflow/auth /var/lib/mlflow/artifacts \
        /var/lib/perennial/lake /var/lib/perennial/landing /var/lib/perennial/reports \
    && install --directory --owner airflow --group airflow --mode 700 \
        /var/lib/perennial/vault /var/lib/perennial/staging

# pip reads this one by itself. torch comes as its CPU build if the index has one; else the default build is taken.
ARG PIP_EXTRA_INDEX_URL=""
COPY requirements.txt constraints.txt /opt/perennial/
RUN pip install --no-cache-dir \
    --requirement /opt/perennial/requirements.txt --constraint /opt/perennial/constraints.txt

COPY include/ /opt/perennial/include/
COPY plugins/ /opt/perennial/plugins/
COPY dags/ /opt/perennial/dags/

USER airflow
WORKDIR /opt/airflow
CMD ["airflow", "info"]
