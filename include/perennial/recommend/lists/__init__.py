"""From ranked candidates to the list of a customer: rules, variety, new items, reasons."""
