"""What does each customer want next? Candidates from several sources, one blend, a reason with each item."""
