import ibis

from tests import spark

pytestmark = spark.needed


def test_a_hash_has_64_bits_on_spark_as_well():
    from perennial.foundation.engine.spark import Spark

    Spark.register_options()
    rows = ibis.table({"text": "string"}, name="rows")
    assert "XXHASH64" in Spark().compile(rows.mutate(hash=rows.text.hash()))
