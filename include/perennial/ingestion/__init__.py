"""Sources in, checked tables and quarantine out. `pipeline` holds the steps that DAGs call.

The way of a row, one module a step:

    declarations   what sources.yaml says
    landing        which files there are for a day        reading     text and databases → Parquet, in batches
    sources        the rows as they came, with their place
    mapping        a source's columns → the contract's    normalise   values → the contract's types
    facts          what a suite cannot see in one row     limits      what suites allow of numbers and texts
    scan           one look at every row: its pattern     day_measures   what a landing is like as a whole
    expectations   the suites                             judgement   Great Expectations judges
    screening      what is published, what is refused     refusals, quarantine   how refused rows are kept
    data_docs      what the rules found, as pages

Beside the way: `replay` and `aside` (refused rows once more), `trial`, `sampling` and `trial_report` (what
would come of a sample), `account` and `statement` (landed = published + quarantined + left out), `kinds`,
`errors`.
"""
