"""Runs a plan in a folder: prepares models, crafts and judges units, stores results, reports progress.

Begin at `execute` (a plan in its folder), `work` (the list of everything to do) and `evaluate` (does what is
not stored yet); `keeper` stores results.

Rooms inside: `models/` (networks built, loaded or trained, and what is put on them), `workers/` (several
processes share one run folder).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.run.craft_and_judge import craft_unit as craft_unit
    from robench.run.craft_and_judge import judge_unit as judge_unit
    from robench.run.crafting import Board as Board
    from robench.run.crafting import Crafting as Crafting
    from robench.run.evaluated_model import EvaluatedModel as EvaluatedModel
    from robench.run.evaluated_model import with_stand_in as with_stand_in
    from robench.run.execute import train_only as train_only
    from robench.run.jobs import Job as Job
    from robench.run.jobs import Unit as Unit
    from robench.run.keeper import FolderKeeper as FolderKeeper
    from robench.run.keeper import Keeper as Keeper
    from robench.run.keeper import Memory as Memory
    from robench.run.keys import CLEAN as CLEAN
    from robench.run.layout import boards_of as boards_of
    from robench.run.models.inference_defenses import defended as defended
    from robench.run.models.inference_defenses import undefended as undefended
    from robench.run.models.preparation import Workshop as Workshop
    from robench.run.models.torchrun import launched_rank as launched_rank
    from robench.run.models.torchrun import refuse_several as refuse_several
    from robench.run.models.torchrun import workplace as workplace
    from robench.run.models.training_folder import differences as differences
    from robench.run.outcome import Outcome as Outcome
    from robench.run.progress import AccuracySoFar as AccuracySoFar
    from robench.run.progress import ColumnAccuracy as ColumnAccuracy
    from robench.run.progress import Finished as Finished
    from robench.run.progress import Quiet as Quiet
    from robench.run.progress import Reporter as Reporter
    from robench.run.settings import Environment as Environment
    from robench.run.settings import Settings as Settings
    from robench.run.shards import Shard as Shard
    from robench.run.work import Work as Work

__getattr__, __dir__, __all__ = face(__name__, __file__)
