import pytest

from perennial.foundation import contracts


@pytest.mark.parametrize("contract", contracts.CONTRACTS.values(), ids=lambda contract: contract.name)
def test_every_column_says_what_it_means_and_every_key_exists(contract: contracts.Contract):
    assert contract.description
    for field in contract.fields:
        assert contract.describe(field.name)
    assert set(contract.key) <= set(contract.schema.names)
    assert set(contract.key) & set(contract.required)
    assert contract.partition is None or contract.partition in contract.required


def test_the_allowed_values_of_a_column_are_known():
    assert "purchase" in contracts.EVENTS.allowed("event_type")
    assert contracts.EVENTS.allowed("order_id") == ()


def test_contact_data_has_no_column_outside_its_vault():
    contact_columns = {"email", "phone", "push_token", "address"}
    found = {name for name, each in contracts.CONTRACTS.items() if contact_columns & set(each.schema.names)}
    assert found == {"contacts"}
