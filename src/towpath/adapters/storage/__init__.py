"""Storage: the store's files."""
