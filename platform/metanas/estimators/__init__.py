"""Ways to judge an architecture, one file each, which defines ``ESTIMATOR``."""
