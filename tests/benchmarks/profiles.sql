-- The sections of a profile as one would write them by hand in DuckDB's SQL, for one day and this shop alone.
-- As ours, it takes of each event, item and customer the version that was known at the end of the day. In its favour:
-- the zone of the shop is UTC, and the settings of profiles.yaml are written in. Expects the views events, items, users,
-- assignments and vectors (text, number), and the variable day. The product of matrices that makes the vectors is not
-- SQL's: profiles_sql.py asks `cells` for it.

CREATE TEMP TABLE customers AS
SELECT customer_id, joined_on, time_zone, row_number() OVER (ORDER BY customer_id) AS number
FROM (
    FROM users WHERE known_on <= getvariable('day')
    QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY valid_from DESC) = 1
);

-- Few events come twice, so that only those are sorted.
CREATE TEMP TABLE repeated AS
SELECT hash(event_id) AS code FROM events WHERE known_on <= getvariable('day') GROUP BY ALL HAVING count(*) > 1;
CREATE TEMP TABLE superseded AS
SELECT event_id, landed_on FROM events SEMI JOIN repeated ON hash(event_id) = code
WHERE known_on <= getvariable('day')
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY landed_on DESC) > 1;
CREATE TEMP TABLE known AS
SELECT
    customer_id, event_type, order_id, item_id, campaign_id, channel, occurred_at,
    occurred_at::DATE AS occurred_on, coalesce(quantity, 0) AS quantity,
    coalesce(revenue, 0) AS revenue, coalesce(shelf_discount, 0) AS shelf, coalesce(coupon_discount, 0) AS coupon,
    coalesce((unit_price * quantity)::DECIMAL(18, 4),
             coalesce(revenue, 0) + coalesce(shelf_discount, 0) + coalesce(coupon_discount, 0)) AS listed
FROM events ANTI JOIN superseded USING (event_id, landed_on)
WHERE known_on <= getvariable('day') AND occurred_at < getvariable('day') + INTERVAL 1 DAY;

-- Numbers for customers and items: quicker to group by than texts, and dealt into eight heaps by the text.
CREATE MACRO heap(id) AS (strpos('0123456789abcdef', md5(id)[1]) - 1) % 8;
CREATE TEMP TABLE who AS
SELECT customer_id, (row_number() OVER (ORDER BY customer_id) - 1) * 8 + heap(customer_id) AS customer
FROM (SELECT DISTINCT customer_id FROM known WHERE event_type IN ('purchase', 'return', 'redeem'));
CREATE TEMP TABLE what AS
SELECT item_id, (row_number() OVER (ORDER BY item_id) - 1) * 8 + heap(item_id) AS item
FROM (SELECT DISTINCT item_id FROM known WHERE item_id IS NOT NULL AND event_type IN ('purchase', 'return', 'redeem'));
CREATE TEMP TABLE telling AS
SELECT item, split(category, ' > ') AS path, path[least(2, len(path))] AS category, brand,
    title || coalesce('. ' || nullif(array_to_string([level for level in path if not contains(title, level)], ' > '), ''), '')
        AS text
FROM (
    FROM items WHERE known_on <= getvariable('day')
    QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY valid_from DESC) = 1
) JOIN what USING (item_id)
WHERE coalesce(path[1] NOT IN
    ('Fuel', 'Coupon', 'Miscellaneous', 'Control/store super', 'Charitable cont', 'Postal center'), true);
CREATE TEMP TABLE bought AS
SELECT customer, item, occurred_on, date_diff('day', DATE '1969-12-29', occurred_on) // 7 AS week,
    quantity, least(quantity, 12) AS pieces, listed, shelf
FROM known JOIN who USING (customer_id) JOIN what USING (item_id)
WHERE event_type = 'purchase';

CREATE TEMP TABLE orders AS
SELECT *, occurred_on - lag(occurred_on) OVER (PARTITION BY customer_id ORDER BY occurred_at, order_id) AS gap
FROM (
    SELECT customer_id, order_id, min(occurred_at) AS occurred_at, min(occurred_on) AS occurred_on,
        sum(revenue) AS revenue, sum(quantity) AS quantity, count(*) AS lines
    FROM known WHERE event_type = 'purchase' AND order_id IS NOT NULL GROUP BY ALL
);

-- Recency, frequency, rhythm.
CREATE TEMP TABLE rhythm AS
WITH sums AS (
    SELECT customer_id, min(occurred_on) AS first_order_on, max(occurred_on) AS last_order_on, count(*) AS orders,
        count(*) FILTER (occurred_on > getvariable('day') - 28) AS orders_28,
        count(*) FILTER (occurred_on > getvariable('day') - 91) AS orders_91,
        sum(quantity) / count(*) AS average_order_quantity, sum(lines) / count(*) AS average_order_lines,
        avg(gap) AS gap_mean_days, stddev_samp(gap) AS gap_deviation_days,
        count(gap) AS n, CASE WHEN n >= 5 THEN stddev_pop(gap) / nullif(avg(gap), 0) END AS r
    FROM orders GROUP BY ALL
), bursts AS (
    SELECT *, (sqrt(n + 1) * r - sqrt(n - 1)) / ((sqrt(n + 1) - 2) * r + sqrt(n - 1)) AS burstiness,
        (1 + 1 / n) / sqrt(n) AS chance
    FROM sums
)
SELECT * EXCLUDE (n, r, chance), CASE WHEN burstiness < -chance THEN 'regular' WHEN burstiness > chance THEN 'bursty'
    WHEN burstiness IS NOT NULL THEN 'random' END AS rhythm
FROM bursts;

-- Money and discounts.
CREATE TEMP TABLE money AS
SELECT customer_id,
    sum(revenue) FILTER (event_type <> 'redeem') AS spend,
    sum(revenue) FILTER (event_type <> 'redeem' AND occurred_on > getvariable('day') - 28) AS spend_28,
    sum(revenue) FILTER (event_type <> 'redeem' AND occurred_on > getvariable('day') - 91) AS spend_91,
    sum(listed) FILTER (event_type = 'purchase')::DOUBLE AS list_value,
    greatest(0, least(1, sum(shelf + coupon) FILTER (event_type = 'purchase')::DOUBLE / nullif(list_value, 0))) AS discount_share,
    greatest(0, least(1, sum(coupon) FILTER (event_type = 'purchase')::DOUBLE / nullif(list_value, 0))) AS coupon_share,
    count(*) FILTER (event_type = 'redeem') AS redemptions
FROM known WHERE event_type IN ('purchase', 'return', 'redeem') GROUP BY ALL;

CREATE TEMP TABLE recent AS
SELECT customer_id,
    list({'gap_days': gap, 'value': revenue::DOUBLE, 'quantity': quantity} ORDER BY place DESC) AS recent_orders
FROM (
    SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY occurred_at DESC, order_id DESC) AS place
    FROM orders QUALIFY place <= 64
) GROUP BY ALL;

-- Preferences, with everybody's as a prior.
CREATE TEMP TABLE weights AS
SELECT customer, item,
    sum(round(2.0 ** (-(getvariable('day') - occurred_on) / 90) * 1e9)::BIGINT)::BIGINT AS weight
FROM bought GROUP BY ALL;
CREATE TEMP TABLE described AS SELECT item, number FROM telling JOIN vectors USING (text);
CREATE TEMP TABLE cells AS
SELECT customer, number, sum(weight)::DOUBLE / 1e9 AS weight FROM weights JOIN described USING (item) GROUP BY ALL;
CREATE TEMP TABLE everybody AS
SELECT customer_id, coalesce(customer, -1) AS customer FROM customers LEFT JOIN who USING (customer_id);
CREATE MACRO largest(name_of) AS TABLE
WITH named AS (
    SELECT item, CASE name_of WHEN 'brand' THEN brand ELSE category END AS name FROM telling
), places AS (
    SELECT item, name, dense_rank() OVER (ORDER BY name) AS place FROM named WHERE name IS NOT NULL
), own AS (
    SELECT customer, place, sum(weight) AS weight FROM weights JOIN places USING (item) GROUP BY ALL
), usual AS (
    SELECT place, sum(weight) / nullif(sum(sum(weight)) OVER (), 0) AS usual FROM own GROUP BY ALL
), first_ten AS (
    SELECT place FROM usual ORDER BY usual DESC, place LIMIT 10
), sums AS (
    SELECT customer, place, sum(weight) AS weight
    FROM (FROM own UNION ALL SELECT DISTINCT customer, place, 0 FROM everybody, first_ten) GROUP BY ALL
), shares AS (
    SELECT customer, place,
        (weight / 1e9 + 5 * usual) / (sum(weight) OVER (PARTITION BY customer) / 1e9 + 5) AS share
    FROM sums JOIN usual USING (place)
), best AS (
    SELECT customer, place, share FROM shares WHERE share > 0
    QUALIFY row_number() OVER (PARTITION BY customer ORDER BY share DESC, place) <= 10
)
SELECT customer, list({'name': name, 'weight': share} ORDER BY share DESC, place) AS named
FROM best JOIN (SELECT DISTINCT name, place FROM places) USING (place) GROUP BY ALL;
CREATE TEMP TABLE categories AS FROM largest('category');
CREATE TEMP TABLE brands AS FROM largest('brand');

-- The response to prices: everybody's curve, then each customer's slope.
CREATE TEMP TABLE weeks AS
WITH sold AS (
    SELECT item, week, min(customer) AS first, max(customer) AS last,
        100 * sum(shelf)::DOUBLE / sum(listed)::DOUBLE AS off,
        coalesce(sum(pieces) FILTER (customer % 2 = 0), 0)::BIGINT AS even,
        coalesce(sum(pieces) FILTER (customer % 2 = 1), 0)::BIGINT AS odd
    FROM bought SEMI JOIN telling USING (item) WHERE quantity > 0 AND listed > 0 GROUP BY ALL
), seasons AS (
    SELECT date_diff('day', DATE '1969-12-29', occurred_on) // 7 AS week, count(*) AS season FROM orders GROUP BY ALL
)
SELECT item, week, week // 13 AS stretch, greatest(0, least(round(off)::BIGINT, 95)) AS percent,
    season, first, last, even, odd
FROM sold JOIN seasons USING (week);

CREATE TEMP TABLE knots AS
WITH halves AS (
    SELECT 0 AS half, item, stretch, (percent + 2) // 5 AS knot, even AS pieces, season FROM weeks WHERE odd > 0
    UNION ALL
    SELECT 1, item, stretch, (percent + 2) // 5, odd, season FROM weeks WHERE even > 0
), sold AS (
    SELECT half, item, stretch, knot, sum(pieces)::DOUBLE AS pieces, sum(season)::DOUBLE AS season
    FROM halves GROUP BY ALL
), usual AS (
    SELECT half, item, stretch, pieces AS usual_pieces, season AS usual_season FROM sold WHERE knot = 0
), ratios AS (
    SELECT knot, sum(pieces * usual_season / (season + usual_season)) + 5 AS more,
        sum(usual_pieces * season / (season + usual_season)) + 5 AS usual
    FROM sold JOIN usual USING (half, item, stretch) WHERE knot > 0 GROUP BY ALL
), levels AS (
    SELECT knot, ln(more / usual) AS level, 1 / (1 / more + 1 / usual) AS weight FROM ratios
), spans AS (
    SELECT a.knot AS first, b.knot AS last, sum(c.level * c.weight) / sum(c.weight) AS mean
    FROM levels a JOIN levels b ON a.knot <= b.knot JOIN levels c ON c.knot BETWEEN a.knot AND b.knot GROUP BY ALL
), least_of AS (
    SELECT knot, first, min(mean) AS mean FROM levels JOIN spans ON knot BETWEEN first AND last GROUP BY ALL
)
SELECT knot * 5 AS percent, greatest(max(mean), 0) AS level FROM least_of GROUP BY ALL UNION ALL SELECT 0, 0;
CREATE TEMP TABLE curve AS
SELECT i AS percent, round(low + (high - low) * (i - since) / (until - since), 6) AS rise
FROM range(96) AS t(i) JOIN (
    SELECT percent AS since, level AS low, lead(percent, 1, 96) OVER w AS until, lead(level, 1, level) OVER w AS high
    FROM knots WINDOW w AS (ORDER BY percent)
) ON i >= since AND i < until;

CREATE MACRO told(at_x, at_z, n, x, z, xx, xz, zz) AS {
    's_x': round((at_x - x / n) / 10 * 1e6)::BIGINT, 's_z': round((at_z - z / n) / 10 * 1e6)::BIGINT,
    'j_xx': round((xx / n - (x / n) * (x / n)) / 100 * 1e6)::BIGINT,
    'j_xz': round((xz / n - (x / n) * (z / n)) / 100 * 1e6)::BIGINT,
    'j_zz': round((zz / n - (z / n) * (z / n)) / 100 * 1e6)::BIGINT
};
CREATE TEMP TABLE offers AS
WITH placed AS (
    SELECT item, week, stretch, first, last, least(percent, 10) AS at_x, greatest(least(percent - 10, 10), 0) AS at_z,
        round(season * exp(rise) * 1000)::BIGINT AS n, n * at_x AS x, n * at_z AS z,
        n * at_x * at_x AS xx, n * at_x * at_z AS xz, n * at_z * at_z AS zz
    FROM weeks JOIN curve USING (percent)
), stretches AS (
    SELECT item, stretch, sum(n)::BIGINT AS n, sum(x)::BIGINT AS x, sum(z)::BIGINT AS z,
        sum(xx)::BIGINT AS xx, sum(xz)::BIGINT AS xz, sum(zz)::BIGINT AS zz
    FROM placed GROUP BY ALL
)
SELECT placed.*, s AS alls, unnest(told(at_x, at_z, s.n, s.x, s.z, s.xx, s.xz, s.zz))
FROM placed JOIN stretches s USING (item, stretch);
-- A customer's own weeks, in which nobody else bought the item, are left out of what they are compared with.
CREATE TEMP TABLE evidence AS
WITH own AS (
    SELECT item, stretch, first AS customer, sum(n)::BIGINT AS n, sum(x)::BIGINT AS x, sum(z)::BIGINT AS z,
        sum(xx)::BIGINT AS xx, sum(xz)::BIGINT AS xz, sum(zz)::BIGINT AS zz
    FROM offers WHERE first = last GROUP BY ALL
), shared AS (
    FROM offers WHERE first < last
), rows AS (
    SELECT customer, item, week, pieces FROM bought WHERE quantity > 0 AND listed > 0
), plain AS (
    SELECT customer, item, pieces, s_x, s_z, j_xx, j_xz, j_zz FROM rows JOIN shared USING (item, week)
), mended AS (
    SELECT rows.customer, item, pieces, s_x, s_z, j_xx, j_xz, j_zz, told(at_x, at_z, alls.n - own.n, alls.x - own.x,
        alls.z - own.z, alls.xx - own.xx, alls.xz - own.xz, alls.zz - own.zz) AS t
    FROM rows JOIN shared USING (item, week) JOIN own USING (customer, item, stretch)
), parts AS (
    FROM plain UNION ALL
    SELECT customer, item, pieces, t.s_x - s_x, t.s_z - s_z, t.j_xx - j_xx, t.j_xz - j_xz, t.j_zz - j_zz FROM mended
)
SELECT customer, item % 8 AS fold, sum(s_x * pieces) / 1e6 AS s_x, sum(s_z * pieces) / 1e6 AS s_z,
    sum(j_xx * pieces) / 1e6 AS j_xx, sum(j_xz * pieces) / 1e6 AS j_xz, sum(j_zz * pieces) / 1e6 AS j_zz
FROM parts GROUP BY ALL;

CREATE TEMP TABLE weighted AS
SELECT *, 1 / (1 + sum(j_xx + j_zz) OVER (PARTITION BY customer) / 33) AS w FROM evidence;
CREATE MACRO mean_x(sx, sz, xx, xz, zz) AS ((zz + 33) * sx - xz * sz) / ((xx + 33) * (zz + 33) - xz * xz);
CREATE TEMP TABLE means AS
WITH heaps AS (
    SELECT sum(w * s_x) AS sx, sum(w * s_z) AS sz, sum(w * j_xx) AS xx, sum(w * j_xz) AS xz, sum(w * j_zz) AS zz
    FROM weighted GROUP BY fold
), whole AS (
    SELECT sum(sx) AS sx, sum(sz) AS sz, sum(xx) AS xx, sum(xz) AS xz, sum(zz) AS zz FROM heaps
), without AS (
    SELECT mean_x(a.sx - h.sx, a.sz - h.sz, a.xx - h.xx, a.xz - h.xz, a.zz - h.zz) AS x FROM heaps h, whole a
)
SELECT mean_x(sx, sz, xx, xz, zz) AS mean_x, mean_x(sz, sx, zz, xz, xx) AS mean_z,
    (SELECT var_pop(x) * (count(*) - 1) FROM without) AS mean_variance
FROM whole;
CREATE TEMP TABLE population AS
WITH rest AS (
    SELECT customer, w, j_xx AS a, j_xz AS b, j_zz AS c,
        s_x - j_xx * mean_x - j_xz * mean_z AS x, s_z - j_xz * mean_x - j_zz * mean_z AS z
    FROM weighted, means
), sums AS (
    SELECT customer, w, sum(a) AS a, sum(b) AS b, sum(c) AS c, sum(x) AS x, sum(z) AS z FROM rest GROUP BY ALL
), whole AS (
    SELECT sum(w * w * x * x) AS xx, sum(w * w * x * z) AS xz, sum(w * w * z * z) AS zz, sum(w * w * a * a) AS aa,
        sum(w * w * a * b) AS ab, sum(w * w * b * b) AS bb, sum(w * w * a * c) AS ac, sum(w * w * b * c) AS bc,
        sum(w * w * c * c) AS cc
    FROM sums
), each AS (
    SELECT sum(w * w * x * x) AS xx, sum(w * w * x * z) AS xz, sum(w * w * z * z) AS zz, sum(w * w * a * a) AS aa,
        sum(w * w * a * b) AS ab, sum(w * w * b * b) AS bb, sum(w * w * a * c) AS ac, sum(w * w * b * c) AS bc,
        sum(w * w * c * c) AS cc, sum(w * x * x) AS phi_rr, sum(w * a) AS phi_j, sum(w * a * a) AS phi_aa,
        sum(w * a * b) AS phi_ab, sum(w * b * b) AS phi_bb
    FROM rest
), table_of AS (
    SELECT w.aa - e.aa + 10890 AS a, 2 * (w.ab - e.ab) AS b, w.bb - e.bb AS c,
        w.ab - e.ab AS d, w.ac - e.ac + w.bb - e.bb + 10890 AS e, w.bc - e.bc AS f,
        w.bb - e.bb AS g, 2 * (w.bc - e.bc) AS h, w.cc - e.cc + 10890 AS i,
        w.xx - e.xx + 10890 * 0.06 AS p, w.xz - e.xz + 10890 * 0.03 AS q, w.zz - e.zz + 10890 * 0.03 AS r,
        phi_rr, phi_j, phi_aa, phi_ab, phi_bb
    FROM whole w, each e
), solved AS (
    SELECT *, a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) AS det,
        greatest((p * (e * i - f * h) - b * (q * i - f * r) + c * (q * h - e * r)) / det, 1e-3) AS t_xx,
        greatest((a * (e * r - q * h) - b * (d * r - q * g) + p * (d * h - e * g)) / det, 1e-3) AS t_zz,
        0.95 * sqrt(t_xx * t_zz) AS most,
        greatest(-most, least((a * (q * i - f * r) - p * (d * i - f * g) + c * (d * r - q * g)) / det, most)) AS t_xz
    FROM table_of
)
SELECT means.*, t_xx, t_xz, t_zz,
    greatest((phi_rr - (phi_aa * t_xx + 2 * phi_ab * t_xz + phi_bb * t_zz) + 660) / (phi_j + 330), 1e-3) AS phi
FROM solved, means;
CREATE TEMP TABLE responses AS
WITH sums AS (
    SELECT customer, sum(s_x) AS s_x, sum(s_z) AS s_z, sum(j_xx) AS j_xx, sum(j_xz) AS j_xz, sum(j_zz) AS j_zz
    FROM evidence GROUP BY ALL
), rows AS (
    SELECT e.customer_id, p.*, coalesce(j_xx, 0) AS jx, coalesce(j_xz, 0) AS jb, coalesce(j_zz, 0) AS jz,
        coalesce(s_x, 0) - jx * mean_x - jb * mean_z AS r_x, coalesce(s_z, 0) - jb * mean_x - jz * mean_z AS r_z,
        phi + jx * t_xx + jb * t_xz AS a, jx * t_xz + jb * t_zz AS b, jb * t_xx + jz * t_xz AS c,
        phi + jb * t_xz + jz * t_zz AS d, a * d - b * c AS whole,
        (t_xx * d - t_xz * c) / whole AS gain_x, (t_xz * a - t_xx * b) / whole AS gain_z,
        gain_x * phi / t_xx AS leaning
    FROM everybody e LEFT JOIN sums USING (customer), population p
), logs AS (
    SELECT customer_id, leaning, rise + mean_x + gain_x * r_x + gain_z * r_z AS log,
        1.959963984540054 * sqrt(phi * gain_x + leaning * leaning * mean_variance) AS spread
    FROM rows, curve WHERE curve.percent = 10
)
SELECT customer_id, exp(log) AS price_response, exp(log - spread) AS price_response_low,
    exp(log + spread) AS price_response_high, leaning <= 0.5 AS price_response_known
FROM logs;

-- Hours of the week: everybody's, bent towards the customer's own in three steps.
CREATE TEMP TABLE counted AS
SELECT number AS place, (dayofweek(local) + 6) % 7 * 24 + hour(local) AS hour, count(*) AS n
FROM (SELECT number, timezone(coalesce(time_zone, 'UTC'), occurred_at) AS local FROM orders JOIN customers USING (customer_id))
GROUP BY ALL;
CREATE TEMP TABLE usual_hours AS
SELECT i AS hour, i % 24 AS clock, i // 24 AS weekday, coalesce(sum(n), 0) * 168 + 10 AS n,
    sum(coalesce(sum(n), 0) * 168 + 10) OVER () AS whole
FROM range(168) AS t(i) LEFT JOIN counted ON i = hour GROUP BY i;
CREATE TEMP TABLE people AS
SELECT number AS place, coalesce(sum(n), 0) AS orders FROM customers LEFT JOIN counted ON number = place GROUP BY ALL;
CREATE TEMP TABLE shares AS
WITH beside AS (
    FROM (VALUES (-2, 14), (-1, 61), (0, 100), (1, 61), (2, 14)) AS t(step, percent)
), own_clock AS (
    SELECT place, (hour + step + 24) % 24 AS clock, sum(n * percent) / 100 AS n FROM counted, beside GROUP BY ALL
), usual_clock AS (
    SELECT (hour + step + 24) % 24 AS clock, sum(n * percent) / 100 / max(whole) AS usual
    FROM usual_hours, beside GROUP BY ALL
), clocks AS (
    SELECT place, clock, orders, (1 + coalesce(n, 0)) / (1 + orders * usual) AS by_hour
    FROM people CROSS JOIN usual_clock LEFT JOIN own_clock USING (place, clock)
), own_day AS (
    SELECT place, hour // 24 AS weekday, sum(n) AS n FROM counted GROUP BY ALL
), usual_day AS (
    SELECT weekday, sum(n) / max(whole) AS usual FROM usual_hours GROUP BY ALL
), weekdays AS (
    SELECT place, weekday, 5 + coalesce(n, 0) AS of_day, of_day / (5 + orders * usual) AS by_day
    FROM people CROSS JOIN usual_day LEFT JOIN own_day USING (place, weekday)
), grid AS (
    SELECT place, hour, orders, of_day, u.n / whole * by_hour * by_day AS share
    FROM clocks JOIN weekdays USING (place) JOIN usual_hours u USING (clock, weekday)
), whole AS (
    SELECT place, hour, orders, of_day, 2 + coalesce(n, 0) AS n, share / sum(share) OVER (PARTITION BY place) AS share
    FROM grid LEFT JOIN counted USING (place, hour)
), bent AS (
    SELECT place, hour, 1 / (1 / n + 1 / of_day) AS shape, share * n / (2 + orders * share) AS share FROM whole
)
SELECT place, hour, shape, share / sum(share) OVER (PARTITION BY place) AS share FROM bent;
CREATE TEMP TABLE best AS
SELECT place, list(share ORDER BY hour) AS active_hours,
    (min({'share': -round(share, 12), 'hour': hour})).hour AS best_hour
FROM shares GROUP BY ALL;
CREATE TEMP TABLE hours AS
WITH cubes AS (
    SELECT place, hour, 1 - 1 / (9 * shape) AS middle, 3 * sqrt(shape) AS sharp, share ** (1 / 3) AS root FROM shares
), tops AS (
    SELECT place, hour AS best, root * greatest(middle - 2.8570 / sharp, 0) AS a,
        root * greatest(middle - 1.3556 / sharp, 0) AS b, root * greatest(middle, 0) AS c,
        root * greatest(middle + 1.3556 / sharp, 0) AS d, root * greatest(middle + 2.8570 / sharp, 0) AS e
    FROM cubes JOIN best USING (place) WHERE hour = best_hour
), below AS (
    SELECT place, sum(-ln(1 + exp(-1.702 * (a / root - middle) * sharp))) AS a,
        sum(-ln(1 + exp(-1.702 * (b / root - middle) * sharp))) AS b,
        sum(-ln(1 + exp(-1.702 * (c / root - middle) * sharp))) AS c,
        sum(-ln(1 + exp(-1.702 * (d / root - middle) * sharp))) AS d,
        sum(-ln(1 + exp(-1.702 * (e / root - middle) * sharp))) AS e
    FROM cubes JOIN tops USING (place) WHERE hour <> best GROUP BY ALL
)
SELECT customer_id, active_hours, best_hour, 0.011257 * exp(a) + 0.222076 * exp(b) + 0.533333 * exp(c)
    + 0.222076 * exp(d) + 0.011257 * exp(e) AS best_hour_confidence
FROM customers JOIN best ON number = place JOIN below USING (place);

-- Answers to messages and campaigns.
CREATE TEMP TABLE channels AS
WITH counts AS (
    SELECT customer_id, channel, count(*) FILTER (event_type = 'delivered') AS delivered,
        count(*) FILTER (event_type = 'open') AS opened, count(*) FILTER (event_type = 'click') AS clicked
    FROM known WHERE channel IS NOT NULL AND event_type IN ('delivered', 'open', 'click') GROUP BY ALL
), used AS (
    SELECT channel, sum(least(clicked, delivered)) / nullif(sum(delivered), 0) AS share FROM counts GROUP BY ALL
), grid AS (
    SELECT customer_id, channel, share, coalesce(delivered, 0) AS delivered, coalesce(opened, 0) AS opened,
        coalesce(clicked, 0) AS clicked
    FROM customers CROSS JOIN used LEFT JOIN counts USING (customer_id, channel) WHERE share IS NOT NULL
)
SELECT customer_id, list({'channel': channel, 'delivered': delivered, 'opened': opened, 'clicked': clicked,
    'response': (least(clicked, delivered) + 20 * share) / (delivered + 20)} ORDER BY channel) AS channels
FROM grid GROUP BY ALL;
CREATE TEMP TABLE campaigns AS
WITH answers AS (
    SELECT DISTINCT customer_id, campaign_id FROM known
    WHERE event_type IN ('click', 'purchase', 'redeem') AND campaign_id IS NOT NULL
), counts AS (
    SELECT a.customer_id, count(*) AS received, count(b.campaign_id) AS answered
    FROM assignments a LEFT JOIN answers b USING (customer_id, campaign_id)
    WHERE known_on <= getvariable('day') AND coalesce(arm, 'treatment') = 'treatment' GROUP BY ALL
), usual AS (
    SELECT sum(answered) / sum(received) AS share FROM counts
)
SELECT customer_id, coalesce(received, 0) AS campaigns_received, coalesce(answered, 0) AS campaigns_answered,
    (campaigns_answered + 5 * share) / (campaigns_received + 5) AS campaign_response
FROM customers LEFT JOIN counts USING (customer_id), usual;

-- The stage of life, in the customer's own gaps.
CREATE TEMP TABLE life_cycle AS
WITH medians AS (
    SELECT customer_id, median(gap) AS own FROM orders GROUP BY ALL HAVING count(gap) >= 3
), typical AS (
    SELECT median(own) AS typical FROM medians
), usual AS (
    SELECT customer_id, joined_on, coalesce(own, typical, 0) AS usual_gap,
        ceil(greatest(usual_gap * 8, 56))::INT AS lapse, ceil(greatest(usual_gap * 3, 21))::INT AS silence
    FROM customers LEFT JOIN medians USING (customer_id), typical
), last AS (
    SELECT customer_id, min(occurred_on) AS first_on, max(occurred_on) AS last_on,
        max(occurred_on) FILTER (gap >= lapse) AS came_back_on,
        max(occurred_on) FILTER (gap >= silence AND gap < lapse) AS resumed_on
    FROM orders JOIN usual USING (customer_id) GROUP BY ALL
), marks AS (
    SELECT *, joined_on + 28 AS known_on, greatest(known_on, last_on + lapse) AS lapsed,
        greatest(known_on, last_on + silence) AS lapsing
    FROM usual LEFT JOIN last USING (customer_id)
), stages AS (
    SELECT *, CASE WHEN getvariable('day') < known_on THEN 'new' WHEN getvariable('day') >= lapsed THEN 'lapsed'
        WHEN last_on IS NOT NULL AND lapsing < lapsed AND getvariable('day') >= lapsing THEN 'lapsing'
        WHEN came_back_on > getvariable('day') - 28 THEN 'returned' ELSE 'active' END AS stage
    FROM marks
)
SELECT customer_id, stage AS life_cycle, lapsed AS lapsed_on,
    CASE WHEN last_on IS NOT NULL AND lapsing < lapsed THEN lapsing END AS lapsing_on,
    CASE stage WHEN 'new' THEN joined_on WHEN 'lapsed' THEN lapsed WHEN 'lapsing' THEN lapsing
        WHEN 'returned' THEN greatest(came_back_on, known_on)
        ELSE greatest(known_on, first_on, resumed_on, came_back_on + 28) END AS life_cycle_since
FROM stages;
