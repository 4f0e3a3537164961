"""Laws that every plugin must keep; an author can check them: `robench check attacks:mine`, or in pytest.

from robench.conformance import check_attack, failures

def test_it_keeps_the_laws():
assert not failures(check_attack(Brighten()))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.conformance.kinds import CHECKED as CHECKED
    from robench.conformance.kinds import Checked as Checked
    from robench.conformance.kinds import check_attack as check_attack
    from robench.conformance.kinds import check_dataset as check_dataset
    from robench.conformance.kinds import check_defense as check_defense
    from robench.conformance.kinds import check_head as check_head
    from robench.conformance.kinds import check_model as check_model
    from robench.conformance.kinds import checks as checks
    from robench.conformance.result import Result as Result
    from robench.conformance.result import Verdict as Verdict
    from robench.conformance.result import failures as failures

__getattr__, __dir__, __all__ = face(__name__, __file__)
