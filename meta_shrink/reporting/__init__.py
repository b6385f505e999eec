"""The report of a run, and the comparison of several: HTML, figures and tables.

From here down TensorFlow is not needed; matplotlib and jinja2 are (extra `report`).
"""

from meta_shrink.reporting.comparison import write_comparison
from meta_shrink.reporting.evaluation_file import check_evaluation, load_evaluation
from meta_shrink.reporting.page import write_report

__all__ = ["check_evaluation", "load_evaluation", "write_comparison", "write_report"]
