"""The assets that pass a day from DAG to DAG.

The last task of one DAG emits each (of two DAGs: `shop_day`). The partition key is the day, `YYYY-MM-DD`.
"""

from airflow.sdk import Asset

SHOP_DAY = Asset("shop_day", uri="perennial://shop_day")
ITEM_EMBEDDINGS = Asset("item_embeddings", uri="perennial://item_embeddings")
PROFILES = Asset("profiles", uri="perennial://profiles")
MODELS = Asset("models", uri="perennial://models")
SCORES = Asset("scores", uri="perennial://scores")
DECISIONS = Asset("decisions", uri="perennial://decisions")
REPORTS = Asset("reports", uri="perennial://reports")
