"""Models under test: the wrapper of a user's network, its identity, and copies proven before use.

Begin at `interface` (a model, its outputs and gradient sources); `tested_network` is the wrapper, `prepared`
chooses the copy for attacks, `fingerprint` identifies networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.model.answer_checks import check_answers as check_answers
    from robench.model.answer_checks import check_networks as check_networks
    from robench.model.batch_identity import batch_of as batch_of
    from robench.model.batch_identity import current_batch as current_batch
    from robench.model.builder import Builder as Builder
    from robench.model.defense import Defense as Defense
    from robench.model.defense import DefenseInfo as DefenseInfo
    from robench.model.defense import InferenceDefense as InferenceDefense
    from robench.model.defense import TrainingContext as TrainingContext
    from robench.model.evaluation import evaluation_mode as evaluation_mode
    from robench.model.global_state import kept_global_state as kept_global_state
    from robench.model.interface import NOT_FINITE as NOT_FINITE
    from robench.model.interface import TIED as TIED
    from robench.model.interface import Coupling as Coupling
    from robench.model.interface import GradientSource as GradientSource
    from robench.model.interface import Memory as Memory
    from robench.model.interface import Model as Model
    from robench.model.interface import Neighbourhood as Neighbourhood
    from robench.model.interface import OutputKind as OutputKind
    from robench.model.interface import Surrogate as Surrogate
    from robench.model.interface import predictions as predictions
    from robench.model.noise import current_draw as current_draw
    from robench.model.noise import draw as draw
    from robench.model.noise import draws as draws
    from robench.model.noise import fresh as fresh
    from robench.model.noise import noise_of as noise_of
    from robench.model.prepared import AS_IT_IS as AS_IT_IS
    from robench.model.prepared import VERSION as VERSION
    from robench.model.prepared import PreparedModel as PreparedModel
    from robench.model.prepared import PreparedModels as PreparedModels
    from robench.model.tested_network import TestedNetwork as TestedNetwork
    from robench.model.tested_network import networks_under_test as networks_under_test

__getattr__, __dir__, __all__ = face(__name__, __file__)
