"""The report of an experiment: one HTML file that opens offline, on a phone, in print and with a screen reader."""

from .answer import Effect
from .effects import effects
from .page import Download, write_page

__all__ = ["Download", "Effect", "effects", "write_page"]
