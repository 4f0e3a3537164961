"""Graphs of heads: neighbours, weights, and how template labels are extended to images (WNLL: Eq. 3-5)."""

from model_zoo.graph.coverage import check_template, expected_template_size
from model_zoo.graph.independent import PreparedTemplate, interpolate_independent, prepare_template
from model_zoo.graph.interpolation import Interpolation, interpolate
from model_zoo.graph.kernel_density import class_log_density
from model_zoo.graph.neighbours import Neighbours, nearest_neighbours, neighbours_in
from model_zoo.graph.settings import Graph
from model_zoo.graph.voting import combine, disjoint_templates, vote, vote_independent
from model_zoo.graph.weights import edge_weights, sigma_squared

__all__ = [
    "Graph",
    "Interpolation",
    "Neighbours",
    "PreparedTemplate",
    "check_template",
    "class_log_density",
    "combine",
    "disjoint_templates",
    "edge_weights",
    "expected_template_size",
    "interpolate",
    "interpolate_independent",
    "nearest_neighbours",
    "neighbours_in",
    "prepare_template",
    "sigma_squared",
    "vote",
    "vote_independent",
]
