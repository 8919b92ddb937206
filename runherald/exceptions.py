"""`from runherald.exceptions import UserErrorException, …`, as `from azureml.exceptions import …`: its names for the errors raised here.

| azureml-core | here | when |
|---|---|---|
| AzureMLException | RunheraldError | anything that is raised on purpose |
| UserErrorException | InvalidInput | a value cannot be taken, or there is no such thing |
| ComputeTarget-, ExperimentExecution-, ProjectSystem-, RunConfiguration-Exception | InvalidInput | the same |
| Snapshot-, Training-, WorkspaceException | InvalidInput | the same |
| ActivityFailedException | RunFailed | a run that is waited for failed |
| ModelNotFound-, ModelPathNotFoundException | NotFound | there is no such model, or the run has no such file |
| WebserviceException | InvalidInput | what a call about a model cannot take |
| RunEnvironmentException | NoSubmittedRun | `Run.get_context(allow_offline=False)` outside a submitted script |
| AuthenticationException | Unauthorized | the server refuses the token |
| ServiceException | Unreachable | the server does not answer, or cannot now |
| the others | NeverRaised | what they are about has no meaning here |

There, ServiceException is no AzureMLException; here each of ours is, so a script that tells the two apart catches ServiceException first.
"""

from __future__ import annotations

from runherald.errors import InvalidInput, RunFailed, RunheraldError, Unreachable
from runherald.producers.errors import NoSubmittedRun, NotFound, Unauthorized

__all__ = [
    "ActivityFailedException",
    "AuthenticationException",
    "AzureMLAggregatedException",
    "AzureMLException",
    "ComputeTargetException",
    "DatasetTimestampMissingError",
    "DiscoveryUrlNotFoundException",
    "ExperimentExecutionException",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "ParallelRunException",
    "ProjectSystemException",
    "RunConfigurationException",
    "RunEnvironmentException",
    "ServiceException",
    "SnapshotException",
    "TrainingException",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
    "WorkspacePrivateEndpointException",
]


class NeverRaised(RunheraldError):
    """An error of azureml-core about what has no meaning here: scripts may name it, nothing raises it."""


AzureMLException = RunheraldError
UserErrorException = InvalidInput
ComputeTargetException = InvalidInput
ExperimentExecutionException = InvalidInput
ProjectSystemException = InvalidInput
RunConfigurationException = InvalidInput
SnapshotException = InvalidInput
TrainingException = InvalidInput
WebserviceException = InvalidInput
WorkspaceException = InvalidInput
ModelNotFoundException = NotFound
ModelPathNotFoundException = NotFound
ActivityFailedException = RunFailed
RunEnvironmentException = NoSubmittedRun
AuthenticationException = Unauthorized
ServiceException = Unreachable
AzureMLAggregatedException = NeverRaised
DatasetTimestampMissingError = NeverRaised
DiscoveryUrlNotFoundException = NeverRaised
ParallelRunException = NeverRaised
WorkspacePrivateEndpointException = NeverRaised
