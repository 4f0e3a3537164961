"""Results and their storage: records, files, statistics, comparisons. No torch here.

Begin at `schema` (a record), `status` (what counts as robust) and `store` (a folder of them). Columns:
`columns` (their meaning), `packed_columns` (in a file), `column_arrays` (in memory). Whole folders:
`planned_folder`, `merging`, `index`; a folder that is deleted again if it stays empty: `new_folder`. Several
processes read many records: `index_pieces`, `index_readers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.record.completeness import noting_failed as noting_failed
    from robench.record.curves import Curve as Curve
    from robench.record.curves import over_eps as over_eps
    from robench.record.curves import over_passes as over_passes
    from robench.record.curves import over_points as over_points
    from robench.record.curves import over_tries as over_tries
    from robench.record.curves import smallest_perturbations as smallest_perturbations
    from robench.record.draws import mean_stood as mean_stood
    from robench.record.draws import paired_p_value as paired_p_value
    from robench.record.draws import share_stood as share_stood
    from robench.record.draws import worst_outcome as worst_outcome
    from robench.record.feature_snapshot import VERSION as VERSION
    from robench.record.feature_snapshot import Cloud as Cloud
    from robench.record.feature_snapshot import FeatureSnapshot as FeatureSnapshot
    from robench.record.feature_snapshot import Nearest as Nearest
    from robench.record.feature_snapshot import read_snapshot as read_snapshot
    from robench.record.feature_snapshot import write_snapshot as write_snapshot
    from robench.record.files import sweep as sweep
    from robench.record.files import write_atomic as write_atomic
    from robench.record.parts import Engine as Engine
    from robench.record.parts import Provenance as Provenance
    from robench.record.parts import RecordedAttack as RecordedAttack
    from robench.record.parts import RecordedDataset as RecordedDataset
    from robench.record.parts import RecordedSource as RecordedSource
    from robench.record.parts import RecordedTarget as RecordedTarget
    from robench.record.parts import RecordedThreat as RecordedThreat
    from robench.record.recipe_hashes import model_recipes as model_recipes
    from robench.record.run_comparison import Difference as Difference
    from robench.record.run_comparison import differences as differences
    from robench.record.run_comparison import unmatched as unmatched
    from robench.record.schema import LATER_COLUMNS as LATER_COLUMNS
    from robench.record.schema import Columns as Columns
    from robench.record.schema import Finding as Finding
    from robench.record.schema import Record as Record
    from robench.record.schema import Status as Status
    from robench.record.statistics import ENOUGH_BATCHES as ENOUGH_BATCHES
    from robench.record.statistics import ENOUGH_TO_RANK as ENOUGH_TO_RANK
    from robench.record.statistics import SIGNIFICANCE as SIGNIFICANCE
    from robench.record.statistics import Spread as Spread
    from robench.record.statistics import above_chance as above_chance
    from robench.record.statistics import discordant as discordant
    from robench.record.statistics import gap_interval as gap_interval
    from robench.record.statistics import holm as holm
    from robench.record.statistics import mcnemar as mcnemar
    from robench.record.statistics import spread as spread
    from robench.record.statistics import t_interval as t_interval
    from robench.record.statistics import wilson as wilson
    from robench.record.store import Store as Store
    from robench.record.store import is_run as is_run
    from robench.record.threat_summary import ThreatSummary as ThreatSummary
    from robench.record.threat_summary import listed as listed
    from robench.record.threat_summary import threat_summary_of as threat_summary_of
    from robench.record.training_history import Row as Row
    from robench.record.training_history import chosen_row as chosen_row
    from robench.record.training_history import robust_overfitting as robust_overfitting
    from robench.record.training_history import write_history as write_history

__getattr__, __dir__, __all__ = face(__name__, __file__)
