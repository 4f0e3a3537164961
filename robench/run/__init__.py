"""A plan done in a folder: models prepared, units crafted, judged and kept, progress told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.run.evaluate import Craft as Craft
    from robench.run.evaluate import Memory as Memory
    from robench.run.evaluate import Silent as Silent
    from robench.run.evaluate import Watcher as Watcher
    from robench.run.evaluate import Work as Work
    from robench.run.evaluated_model import Subject as Subject
    from robench.run.evaluated_model import stand_in_for as stand_in_for
    from robench.run.execute import Count as Count
    from robench.run.execute import Outcome as Outcome
    from robench.run.execute import boards_of as boards_of
    from robench.run.execute import train_only as train_only
    from robench.run.inference_defenses import defended as defended
    from robench.run.inference_defenses import undefended as undefended
    from robench.run.interrupted_trainings import differences as differences
    from robench.run.keeper import FolderKeeper as FolderKeeper
    from robench.run.preparation import TrainingWatcher as TrainingWatcher
    from robench.run.preparation import Workshop as Workshop
    from robench.run.progress import Quiet as Quiet
    from robench.run.progress import Reporter as Reporter
    from robench.run.progress import Standing as Standing
    from robench.run.torchrun import launched_rank as launched_rank
    from robench.run.torchrun import refuse_several as refuse_several
    from robench.run.torchrun import workplace as workplace
    from robench.run.units import CLEAN as CLEAN
    from robench.run.units import Board as Board
    from robench.run.units import Shard as Shard
    from robench.run.units import craft_unit as craft_unit
    from robench.run.units import judge_unit as judge_unit

__getattr__, __dir__ = face(__name__, __file__)
