"""Checks of results: runs verified, libraries compared side by side, radii certified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.audit.certify import Certified as Certified
    from robench.audit.certify import certified_at as certified_at
    from robench.audit.certify import certify_plan as certify_plan
    from robench.audit.parity import Version as Version
    from robench.audit.parity import disputed as disputed
    from robench.audit.parity import family as family
    from robench.audit.run_rejudgement import Check as Check

__getattr__, __dir__, __all__ = face(__name__, __file__)
