"""How a customer answers: messages by channel, and the shop's own campaigns."""

import ibis
import ibis.expr.types as ir

from perennial.profiles.settings import ResponsivenessSettings

_COUNTED = {"delivered": "delivered", "opened": "open", "clicked": "click"}
_ANSWERS = ("click", "purchase", "redeem")


def touches(dated: ir.Table) -> ir.Table:
    """Messages and what became of them, and whatever was done under a campaign.

    Returns:
        `customer_id, event_type, channel?, campaign_id?, known_from, known_until?` and `n`, how many events.
    """
    messages = dated.event_type.isin(list(_COUNTED.values())) & dated.channel.notnull()
    done = dated.event_type.isin(_ANSWERS) & dated.campaign_id.notnull()
    kept = dated.filter(messages | done)
    keys = ("customer_id", "event_type", "channel", "campaign_id", "known_from", "known_until")
    return kept.group_by(*keys).aggregate(n=kept.count())


def channels(touches: ir.Table, customers: ir.Table, settings: ResponsivenessSettings) -> ir.Table:
    """`channels`: for each channel that the shop uses, in alphabetical order, what the customer did.

    The response is (clicked + k · everybody's share) ÷ (delivered + k), with k `messages_of_population`;
    there are never more clicks than delivered messages. A customer without messages has everybody's share.

    Args:
        touches: the result of `touches`, as of a day.
        customers: `customer_id`, the customers who get channels.
        settings: how much everybody's share weighs.
    """
    messages = touches.filter(touches.event_type.isin(list(_COUNTED.values())), touches.channel.notnull())
    counts = messages.group_by("customer_id", "channel").aggregate(
        **{
            name: messages.n.sum(where=messages.event_type == kind).fill_null(0)
            for name, kind in _COUNTED.items()
        }
    )
    clicked = ibis.least(counts.clicked, counts.delivered)
    used = (
        counts.mutate(counted=clicked)
        .group_by("channel")
        .aggregate(share=ibis._.counted.sum() / ibis._.delivered.sum().nullif(0))
    )
    grid = customers.select("customer_id").cross_join(used.filter(used.share.notnull()))
    grid = grid.left_join(counts, ["customer_id", "channel"]).drop("customer_id_right", "channel_right")
    grid = grid.mutate(**{name: grid[name].fill_null(0) for name in _COUNTED})
    k = settings.messages_of_population
    response = (ibis.least(grid.clicked, grid.delivered) + k * grid.share) / (grid.delivered + k)
    channel = ibis.struct(
        {"channel": grid.channel, **{name: grid[name] for name in _COUNTED}, "response": response}
    )
    lists = grid.group_by("customer_id").aggregate(channels=channel.collect())
    return lists.mutate(channels=lists.channels.sort())


def campaigns(
    assignments: ir.Table, touches: ir.Table, customers: ir.Table, settings: ResponsivenessSettings
) -> ir.Table:
    """`campaigns_received`, `campaigns_answered` and `campaign_response` of every customer.

    The response is (answered + k · everybody's share) ÷ (received + k), with k `campaigns_of_population`;
    null as long as nobody was in any campaign. Who was held out of a campaign did not receive it.

    Args:
        assignments: `campaign_id, customer_id, arm?`, one row each, as known on a day.
        touches: the result of `touches`, as of that day.
        customers: `customer_id`, the customers who get these.
        settings: how much everybody's share weighs.
    """
    received = assignments.filter(assignments.arm.isnull() | (assignments.arm == "treatment"))
    answered = touches.filter(touches.event_type.isin(_ANSWERS), touches.campaign_id.notnull())
    answered = answered.select("customer_id", "campaign_id", answered=1).distinct()
    both = received.left_join(answered, ["customer_id", "campaign_id"])
    counts = both.group_by("customer_id").aggregate(received=both.count(), answered=both.answered.count())
    usual = counts.aggregate(share=counts.answered.sum() / counts.received.sum())
    rows = customers.select("customer_id").left_join(counts, "customer_id").cross_join(usual)
    received, answered = rows.received.fill_null(0), rows.answered.fill_null(0)
    k = settings.campaigns_of_population
    return rows.select(
        "customer_id",
        campaigns_received=received,
        campaigns_answered=answered,
        campaign_response=(answered + k * rows.share) / (received + k),
    )
