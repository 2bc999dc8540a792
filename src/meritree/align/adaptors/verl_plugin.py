"""Registers our parts in verl when imported: ``VERL_USE_EXTERNAL_MODULES`` names this module."""

from meritree.align.adaptors.verl import register

register()
