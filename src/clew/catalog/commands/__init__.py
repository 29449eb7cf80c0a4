"""All commands, by what they change. Importing this package registers them for `clew.catalog.decode`."""

from clew.catalog.commands.builds import (
    ArtifactSpec,
    EndRun,
    FinishStep,
    ForgetStep,
    RecordCode,
    RecordEnvironment,
    StartRun,
)
from clew.catalog.commands.data import (
    CreateDataset,
    FragmentSpec,
    GroupSpec,
    RecordContract,
    RecordContractCheck,
    RecordSnapshot,
    SetPolicy,
    SourceSpec,
    check_name,
)
from clew.catalog.commands.governance import CreateWorkspace, MoveAlias, check_alias
from clew.catalog.commands.models import EvaluationSpec, InputSpec, RegisterModel
from clew.catalog.commands.serving import (
    AlertSpec,
    CreateEndpoint,
    CreateMonitor,
    RecordDecision,
    RecordReport,
    RecordSegment,
    StartRollout,
    Target,
)

__all__ = [
    "AlertSpec",
    "ArtifactSpec",
    "CreateDataset",
    "CreateEndpoint",
    "CreateMonitor",
    "CreateWorkspace",
    "EndRun",
    "EvaluationSpec",
    "FinishStep",
    "ForgetStep",
    "FragmentSpec",
    "GroupSpec",
    "InputSpec",
    "MoveAlias",
    "RecordCode",
    "RecordContract",
    "RecordContractCheck",
    "RecordDecision",
    "RecordEnvironment",
    "RecordReport",
    "RecordSegment",
    "RecordSnapshot",
    "RegisterModel",
    "SetPolicy",
    "SourceSpec",
    "StartRollout",
    "StartRun",
    "Target",
    "check_alias",
    "check_name",
]
