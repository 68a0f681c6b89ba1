"""What a ranker is told: of items, of pairs of a customer and an item, of promotions."""
