"""Which items are recommended, compared with the catalogue and with purchases: shares, pictures, a page."""
