"""Members of azureml-core's `Run` that need a cloud: each says what to use instead. `docs/sdk-members.md` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from runherald.producers.errors import Unsupported

from .identity import RunIdentity


class AzureOnly(RunIdentity):
    """The part of `Run` that has no meaning here. Each call raises `Unsupported`."""

    def get_secret(self, name: str) -> NoReturn:
        """Say where secrets are to come from."""
        del name
        raise self._unsupported("get_secret", "there is no key vault; pass the secret in an environment variable and read os.environ")

    def get_secrets(self, secrets: Sequence[str]) -> NoReturn:
        """Say where secrets are to come from."""
        del secrets
        raise self._unsupported("get_secrets", "there is no key vault; pass the secrets in environment variables and read os.environ")

    def get_environment(self) -> NoReturn:
        """Say where to find what a run was run with."""
        raise self._unsupported("get_environment", "no environments are built here; keep `pip freeze` with upload_file, or in a property")

    @classmethod
    def get_docs_url(cls) -> NoReturn:
        """Say where the documentation is."""
        raise Unsupported("Run.get_docs_url: the documentation has no address; call help(Run), or read docs/sdk-members.md")

    def _unsupported(self, member: str, instead: str) -> Unsupported:
        return Unsupported(f"run {self._id}: {member}: {instead}")
