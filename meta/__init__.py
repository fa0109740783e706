"""What a search can learn from: descriptions of architectures, and what past tasks teach."""
