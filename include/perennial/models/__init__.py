"""Will this customer come back? The return model, its judgement, and the scores of every customer."""
