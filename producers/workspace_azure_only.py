"""What azureml-core's `Workspace` has and this one has not: each name says what to use instead. `docs/sdk-members.md` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from runherald.producers.errors import Unsupported

_NETWORK = "who reaches the server is decided where it runs; see docs/security.md"
_DATA = "data is not kept here; read it from where it lies, and name it in a tag"
_SERVICES = "models are registered here, not served; download one with Model.download"
_KEYS = "there is no key vault; pass secrets in environment variables and read os.environ"
_ACCOUNT = "there is no such account; where files are kept is said with Workspace(files=…) or RUNHERALD_FILES"
_CONNECTIONS = "there are no connections to other services; read what is needed from environment variables"

INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "add_private_endpoint": _NETWORK,
        "datasets": _DATA,
        "datastores": _DATA,
        "delete": "a workspace is a name that runs carry, and history is kept; there is nothing to delete",
        "delete_connection": _CONNECTIONS,
        "delete_private_endpoint_connection": _NETWORK,
        "diagnose_workspace": "the server says how it is; see `runherald status`",
        "environments": "no environments are built or kept; make one with Environment(name), and set its python.interpreter_path",
        "get_connection": _CONNECTIONS,
        "get_default_compute_target": "no target is the default but this machine; name one of compute_targets, or 'local'",
        "get_default_datastore": _DATA,
        "get_default_keyvault": _KEYS,
        "get_mlflow_tracking_uri": "MLflow's calls are not taken; log with Run.log, or let MLflow write to a folder of its own",
        "images": _SERVICES,
        "linked_services": _CONNECTIONS,
        "list_connections": _CONNECTIONS,
        "list_keys": _ACCOUNT,
        "private_endpoints": _NETWORK,
        "set_connection": _CONNECTIONS,
        "set_default_datastore": _DATA,
        "sku": "there are no editions; leave it out",
        "sync_keys": _ACCOUNT,
        "update": "a workspace is a name and has nothing to change; take Experiment.set_tags or Run.tag",
        "update_dependencies": _ACCOUNT,
        "webservices": _SERVICES,
    }
)


class NotHere(Unsupported, AttributeError):
    """A member without a meaning here. For `hasattr`, and for who asks with a default, it is not there."""


class WorkspaceAzureOnly:
    """The part of `Workspace` that has no meaning here."""

    if not TYPE_CHECKING:  # a checker is to find names that are nowhere

        def __getattr__(self, name: str) -> NoReturn:
            """Say what to use instead of a member of azureml-core's.

            Raises:
                NotHere: it is one.
                AttributeError: it is none, here or there.
            """
            if name in INSTEAD:
                raise NotHere(f"workspace: {name}: {INSTEAD[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @staticmethod
    def list(subscription_id: str, auth: object = None, resource_group: str | None = None) -> NoReturn:
        """Say how to find the names of workspaces."""
        del subscription_id, auth, resource_group
        raise Unsupported(
            "Workspace.list: workspaces are names that runs carry; ask `runherald query 'SELECT DISTINCT workspace FROM runs'`"
        )

    @staticmethod
    def setup() -> NoReturn:
        """Say how to come by a workspace."""
        raise Unsupported("Workspace.setup: nothing is asked for and created; call Workspace(name=…), or Workspace.from_config()")
