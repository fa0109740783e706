"""Statistics that several parts need."""
