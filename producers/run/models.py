"""Files of a run as a model, under a name and a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runherald.errors import InvalidInput

from .files import RunFiles

if TYPE_CHECKING:
    from ..models.model import Model


class RunModels(RunFiles):
    """The part of `Run` that registers models."""

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        description: str | None = None,
        datasets: object = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: object = None,
        **kwargs: object,
    ) -> Model:
        """Register the run's file of a name, or all files below it, as the next version of a model. They stay where they are.

        Without a path the model's name is the path, as in azureml-core; where the run has no such file, all of `outputs`.

        Raises:
            InvalidInput: name, path, tags, properties or description cannot be taken; nothing is registered.
            NotFound: the run has no such file; nothing is registered.
            Unsupported: datasets or a resource configuration are given.
            Unreachable: no server answers, so nobody knows which version is next, or whether this one is taken.
        """
        from runherald.producers.files.names import file_name
        from runherald.producers.models.names import model_name as checked_name

        from ..models.model import Model
        from ..models.registration import below, described, files_of_run, register

        what = f"run {self._id}: register_model"
        if kwargs:
            raise InvalidInput(f"{what}: does not know the argument {min(kwargs)!r}")
        name = checked_name(what, model_name)
        path = file_name(what, name if model_path is None else model_path)
        told = described(
            what,
            path=path,
            run_id=self._id,
            tags=tags,
            properties=properties,
            description=description,
            framework=model_framework,
            framework_version=model_framework_version,
            without={
                "datasets": datasets,
                "sample_input_dataset": sample_input_dataset,
                "sample_output_dataset": sample_output_dataset,
                "resource_configuration": resource_configuration,
            },
        )
        rows = self._outputs()
        if model_path is None and not below(rows, path):
            told = replace(told, path="outputs")
        keep = files_of_run(self._id, rows, told.path)
        workspace = self._experiment.workspace
        return Model(workspace, name, version=register(workspace, name, told, keep))
