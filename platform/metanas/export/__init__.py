"""A winner that stands alone: a folder that needs torch and nothing else."""

from metanas.export.folder import Winner, check_place, remove_folder, write_folder

__all__ = ["Winner", "check_place", "remove_folder", "write_folder"]
