"""Where a search is shown and its history kept."""
