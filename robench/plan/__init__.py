"""Plans of evaluations: YAML is read strictly into a frozen `Plan`. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.plan.bounds import METHODS as METHODS
    from robench.plan.bounds import method_of as method_of
    from robench.plan.config import locate as locate
    from robench.plan.config import parse as parse
    from robench.plan.config import suites as suites
    from robench.plan.data_root import DATA_ROOT as DATA_ROOT
    from robench.plan.data_root import NEEDS_ROOT as NEEDS_ROOT
    from robench.plan.data_root import check_checkpoints as check_checkpoints
    from robench.plan.data_root import in_data_root as in_data_root
    from robench.plan.data_root import located as located
    from robench.plan.file_names import check_name as check_name
    from robench.plan.knowledge import denied as denied
    from robench.plan.knowledge import in_order as in_order
    from robench.plan.spec import DRAWS as DRAWS
    from robench.plan.spec import KNOWLEDGE as KNOWLEDGE
    from robench.plan.spec import KNOWN as KNOWN
    from robench.plan.spec import LATER as LATER
    from robench.plan.spec import PRECISIONS as PRECISIONS
    from robench.plan.spec import RANDOMNESS as RANDOMNESS
    from robench.plan.spec import SCHEMA as SCHEMA
    from robench.plan.spec import TEMPLATE as TEMPLATE
    from robench.plan.spec import BoundSpec as BoundSpec
    from robench.plan.spec import Choice as Choice
    from robench.plan.spec import DataSpec as DataSpec
    from robench.plan.spec import ModelSpec as ModelSpec
    from robench.plan.spec import Plan as Plan
    from robench.plan.spec import ThreatSpec as ThreatSpec
    from robench.plan.spec import TrainSpec as TrainSpec
    from robench.plan.spec import canonical as canonical
    from robench.plan.spec import content_hash as content_hash
    from robench.plan.spec import to_json as to_json
    from robench.plan.weights_path import Step as Step
    from robench.plan.weights_path import key_text as key_text
    from robench.plan.weights_path import parse_key as parse_key
    from robench.plan.yaml_reader import read_file as read_file
    from robench.plan.yaml_reader import read_value as read_value

__getattr__, __dir__, __all__ = face(__name__, __file__)
