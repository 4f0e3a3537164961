"""The attacker's side: threats, norms and losses, the oracle, and the crafting of images.

The package can be called: `robench.attack(net, x, y, "pgd", eps="8/255")` is `robench.api.attack`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face, make_callable

if TYPE_CHECKING:
    from robench.attack.craft import Crafted as Crafted
    from robench.attack.craft import check_attack as check_attack
    from robench.attack.ledger import Ledger as Ledger
    from robench.attack.library_model import art_classifier as art_classifier
    from robench.attack.library_model import lent as lent
    from robench.attack.losses import LOSSES as LOSSES
    from robench.attack.losses import Loss as Loss
    from robench.attack.losses import cross_entropy as cross_entropy
    from robench.attack.losses import log_probabilities as log_probabilities
    from robench.attack.losses import margin as margin
    from robench.attack.losses import ranked_margin as ranked_margin
    from robench.attack.losses import score_margin as score_margin
    from robench.attack.losses import targeted_dlr as targeted_dlr
    from robench.attack.losses import targeted_margin as targeted_margin
    from robench.attack.norms import L0 as L0
    from robench.attack.norms import L1 as L1
    from robench.attack.norms import L2 as L2
    from robench.attack.norms import LINF as LINF
    from robench.attack.norms import NORMS as NORMS
    from robench.attack.norms import Norm as Norm
    from robench.attack.norms import norm_named as norm_named
    from robench.attack.norms import per_image as per_image
    from robench.attack.oracle import Oracle as Oracle
    from robench.attack.protocol import Attack as Attack
    from robench.attack.protocol import AttackInfo as AttackInfo
    from robench.attack.protocol import Knowledge as Knowledge
    from robench.attack.protocol import run_attack as run_attack
    from robench.attack.surrogate_module import SurrogateModule as SurrogateModule
    from robench.attack.threat import Goal as Goal
    from robench.attack.threat import ThreatModel as ThreatModel
    from robench.attack.threat import targets_of as targets_of
    from robench.attack.visibility import check_noise as check_noise
    from robench.attack.visibility import hides_noise as hides_noise
    from robench.attack.visibility import needs_stand_in as needs_stand_in

__getattr__, __dir__, __all__ = face(__name__, __file__)
make_callable(__name__, "robench.api:attack")
