"""The features of the ranker: of items, of pairs of a customer and an item, of promotions."""
