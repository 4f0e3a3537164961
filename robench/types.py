"""The tensor words used in signatures, with their shapes and types; tests check them in every call.

Letters are those of docstrings: B images of C channels, H rows and W columns, K classes, D features; N rows
that are no images of the batch, such as template points or linear functions. A letter means the same number
in all arguments and results of one call. `*S` is a shape of any length, and `...` one that nothing else must
equal.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Bool, Float, Int, Integer, UInt8
from torch import Tensor

# Images and what a model says of them

Images: TypeAlias = Float[Tensor, "B C H W"]
"""Values inside the model's bounds."""
Image: TypeAlias = Float[Tensor, "C H W"]
"""One image without the axis of the batch."""
StoredImages: TypeAlias = Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]
"""Images as a data set keeps them: values in [0, 1], or bytes."""
FlatImages: TypeAlias = Float[Tensor, "B N"]
"""Images whose N numbers stand in one row."""
Labels: TypeAlias = Int[Tensor, " B"]
"""Class indices, int64."""
AnyLabels: TypeAlias = Integer[Tensor, " B"]
"""Class indices of any type of whole numbers, as a user gives them."""
Pairs: TypeAlias = Int[Tensor, "B 2"]
"""The label of each image, and the class it is to be taken for."""
LabelsOrPairs: TypeAlias = Labels | Pairs
"""What a loss compares scores by."""
Outputs: TypeAlias = Float[Tensor, "B K"]
"""Model outputs of a declared OutputKind."""
ClassCounts: TypeAlias = Int[Tensor, "B K"]
"""How often each image was taken for each class."""
Features: TypeAlias = Float[Tensor, "B D"]
"""A row of D numbers per image: its features."""
Values: TypeAlias = Float[Tensor, "B ..."]
"""Numbers of any shape for each image."""

# One entry per image, or per row of a choice

Scalar: TypeAlias = Float[Tensor, ""]
"""One number, such as a mean loss."""
PerSample: TypeAlias = Float[Tensor, " B"]
"""One number per image."""
IntPerSample: TypeAlias = Int[Tensor, " B"]
"""One whole number per image, such as its place in the data set."""
Mask: TypeAlias = Bool[Tensor, " B"]
"""One truth value per image."""
Column: TypeAlias = Float[Tensor, "B 1"]
"""One number per image, as a column beside rows."""
RowNumbers: TypeAlias = Int[Tensor, " n"]
"""Numbers of some rows of a batch or of a set."""
RowMask: TypeAlias = Bool[Tensor, " N"]
"""One truth value for each of N rows."""
SameShape: TypeAlias = Float[Tensor, "*S"]
"""Numbers of any shape, the same for all that have this word."""

# Graphs: known points, such as a template, and the neighbours among them

Points: TypeAlias = Float[Tensor, "N D"]
"""A row of D numbers per known point: its features."""
PointLabels: TypeAlias = Int[Tensor, " N"]
"""The class of each known point."""
FeatureRow: TypeAlias = Float[Tensor, " D"]
"""The features of one image, or a limit of each."""
PerPair: TypeAlias = Float[Tensor, "B N"]
"""One number per image and known point, such as their distance."""
PointPairs: TypeAlias = Bool[Tensor, "N N"]
"""One truth value per pair of known points."""
ClassValues: TypeAlias = Float[Tensor, "N K"]
"""One number per known point and class."""
NearestPoints: TypeAlias = Int[Tensor, "B k"]
"""The row numbers of k known points for each image."""
NearestDistances: TypeAlias = Float[Tensor, "B k"]
"""The distances, or their squares, of k known points from each image."""
NeighbourLists: TypeAlias = Int[Tensor, "P m"]
"""The row numbers of m neighbours of each of the P points of a graph."""
EdgeValues: TypeAlias = Float[Tensor, "P m"]
"""One number per entry of neighbour lists: a squared distance, or a weight."""
EdgeMask: TypeAlias = Bool[Tensor, "P m"]
"""One truth value per entry of neighbour lists."""
PerPoint: TypeAlias = Float[Tensor, " P"]
"""One number per point of a graph."""
PointValues: TypeAlias = Float[Tensor, "P K"]
"""One number per point of a graph and class."""

# Bounds: N linear functions of a layer whose values have the shape S

LayerValues: TypeAlias = Float[Tensor, " B *S"]
"""The values of a layer for each image."""
LayerMask: TypeAlias = Bool[Tensor, " B *S"]
"""One truth value for each value of a layer."""
Coefficients: TypeAlias = Float[Tensor, " N *S"]
"""The coefficients of linear functions of a layer's values, or what stands beside each."""
PerRow: TypeAlias = Float[Tensor, " N"]
"""One number for each of N rows: functions, subdomains, or known points."""
IntPerRow: TypeAlias = Int[Tensor, " N"]
"""One whole number for each of N rows, such as the image that a function belongs to."""
Corners: TypeAlias = Int[Tensor, "N 2"]
"""Row and column of the first entry of each window."""
OutputFunctions: TypeAlias = Float[Tensor, "N K"]
"""The coefficients of linear functions of a model's outputs."""
SplitSigns: TypeAlias = Int[Tensor, "N U"]
"""The sign that each subdomain fixes for each of U rectifiers: 1, -1, or 0 for none."""
SplitValues: TypeAlias = Float[Tensor, "N U"]
"""One number per subdomain and rectifier, such as a slope."""
