"""Find identifiers of persons in clinical texts, and replace them."""
