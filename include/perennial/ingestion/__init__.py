"""Reads the shop's sources, writes checked tables and the quarantine. DAGs call the steps in `pipeline`.

The way of a row, one module a step:

    source_settings   what sources.yaml may say
    landing           which files there are for a day
    reading           text and databases → Parquet, in batches
    sources           the source's rows, each with its file and line
    mapping           a source's columns → the contract's columns
    normalise         values → the contract's types
    row_checks        booleans that the row rules need
    value_ranges      the numbers and lengths that rules allow
    row_patterns      one pass over all rows: the pattern of each
    day_measures      counts, shares and medians of each day's landing
    suites            the rules, as Great Expectations suites
    validation        Great Expectations evaluates the rules
    screening         what is published, what is refused
    refusals, quarantine   how refused rows are stored
    data_docs         the results of the rules, as pages

Also: `quarantine_replay` and `quarantined_rows` (refused rows are judged again); `dry_run`, `sampling` and
`dry_run_report` (the result for the first rows of each source); `reconciliation` and `reconciliation_report`
(landed = published + quarantined + left out); `column_types`, `days`, `errors`.
"""
