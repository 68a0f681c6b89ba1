"""Who each customer is, as known at the end of a day: one row a customer, one module a section."""
