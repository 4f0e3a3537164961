"""Reading of untrusted files: only regular files up to a limit; a user can raise the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.intake.archives import check_expansion as check_expansion
    from robench.intake.archives import open_archive as open_archive
    from robench.intake.archives import read_member as read_member
    from robench.intake.limits import LIMITS as LIMITS
    from robench.intake.limits import Limit as Limit
    from robench.intake.limits import size_text as size_text
    from robench.intake.pickle_steps import check_steps as check_steps
    from robench.intake.regular_file import open_regular as open_regular
    from robench.intake.regular_file import read_regular as read_regular
    from robench.intake.torch_files import names_asked_for as names_asked_for

__getattr__, __dir__, __all__ = face(__name__, __file__)
