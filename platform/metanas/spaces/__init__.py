"""Search spaces, one file each, which defines ``SPACE``."""
