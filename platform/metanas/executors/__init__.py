"""Where evaluations run, one file each, which defines ``EXECUTOR``. Ray is imported here only."""
