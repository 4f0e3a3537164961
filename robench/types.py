"""The tensor words used in signatures, with their shapes and types; tests check them in every call.

Letters are those of docstrings: B images of C channels, H rows and W columns, K classes. A letter means the
same number in all arguments and results of one call.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "B C H W"]
"""Values inside the model's bounds."""
StoredImages: TypeAlias = Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]
"""Images as a data set keeps them: values in [0, 1], or bytes."""
Labels: TypeAlias = Int[Tensor, " B"]
"""Class indices, int64."""
Pairs: TypeAlias = Int[Tensor, "B 2"]
"""The label of each image, and the class it is to be taken for."""
LabelsOrPairs: TypeAlias = Labels | Pairs
"""What a loss compares scores by."""
Outputs: TypeAlias = Float[Tensor, "B K"]
"""Model outputs of a declared OutputKind."""
PerSample: TypeAlias = Float[Tensor, " B"]
"""One number per image."""
Mask: TypeAlias = Bool[Tensor, " B"]
"""One truth value per image."""
Features: TypeAlias = Float[Tensor, "B D"]
"""A row of D numbers per image: its features."""
FlatImages: TypeAlias = Float[Tensor, "B N"]
"""Images whose N numbers stand in one row."""
Column: TypeAlias = Float[Tensor, "B 1"]
"""One number per image, as a column beside rows."""
