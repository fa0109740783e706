"""Types, protocols, the search loop and the look-up of plug-ins; nothing heavy is imported."""
