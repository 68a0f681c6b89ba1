-- The sections of `profiles.sql` side by side, and the vectors (`histories`) that numpy made meanwhile.

SELECT getvariable('day') AS day, customer_id, joined_on, getvariable('day') - joined_on AS tenure_days,
    rhythm.* EXCLUDE (customer_id, orders, orders_28, orders_91),
    getvariable('day') - last_order_on AS recency_days, orders IS NULL AS thin,
    coalesce(orders, 0) AS orders, coalesce(orders_28, 0) AS orders_28, coalesce(orders_91, 0) AS orders_91,
    coalesce(spend, 0) AS spend, coalesce(spend_28, 0) AS spend_28, coalesce(spend_91, 0) AS spend_91,
    round(spend / orders, 4) AS average_order_value, discount_share, coupon_share,
    coalesce(redemptions, 0) AS redemptions, coalesce(recent_orders, []) AS recent_orders,
    price_response, price_response_low, price_response_high, price_response_known,
    c.named AS categories, b.named AS brands, active_hours, best_hour, best_hour_confidence,
    coalesce(channels, []) AS channels, campaigns.* EXCLUDE (customer_id), life_cycle.* EXCLUDE (customer_id),
    vector
FROM customers LEFT JOIN rhythm USING (customer_id) LEFT JOIN money USING (customer_id)
LEFT JOIN recent USING (customer_id) LEFT JOIN everybody USING (customer_id)
LEFT JOIN categories c USING (customer) LEFT JOIN brands b USING (customer)
LEFT JOIN responses USING (customer_id) LEFT JOIN hours USING (customer_id)
LEFT JOIN channels USING (customer_id) LEFT JOIN campaigns USING (customer_id)
LEFT JOIN life_cycle USING (customer_id) LEFT JOIN histories USING (customer);
