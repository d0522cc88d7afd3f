"""What a search asks for, read from its parameters: criteria, order, size, and what is to come along."""
