"""The members of the SDK that scripts of azureml-core call, with their parameters and defaults.

One a line, in Python's words; a line that goes on is indented. `property` may be read, `settable` also be set, `static` and `class` are
called on the class. What the code has beyond this (ours) has a default and must be named.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

RUN = """
__enter__()
__exit__(kind, error, trace)
__init__(experiment, run_id, outputs=None, **kwargs)
add_properties(properties)
static add_type_provider(runtype, run_factory)
cancel()
child_run(name=None, run_id=None, outputs=None)
clean()
complete()
create_children(count=None, tag_key=None, tag_values=None)
settable description
settable display_name
download_file(name, output_file_path=None)
download_files(prefix=None, output_directory=None, output_paths=None, batch_size=100, append_prefix=True, timeout_seconds=None)
property experiment
fail(error_details=None, error_code=None)
flush(timeout_seconds=300)
static get(workspace, run_id)
get_all_logs(destination=None)
get_children(recursive=False, tags=None, properties=None, type=None, status=None)
class get_context(allow_offline=True, **kwargs)
get_detailed_status()
get_details()
get_details_with_logs()
class get_docs_url()
get_environment()
get_file_names()
get_metrics(name=None, recursive=False, run_type=None, populate=False)
get_portal_url()
get_properties()
get_secret(name)
get_secrets(secrets)
get_snapshot_id()
get_status()
class get_submitted_run(**kwargs)
get_tags()
property id
static list(experiment, type=None, tags=None, properties=None, status=None, include_children=False)
static list_by_compute(compute, type=None, tags=None, properties=None, status=None)
log(name, value, description='', step=None)
log_accuracy_table(name, value, description='')
log_confusion_matrix(name, value, description='')
log_image(name, path=None, plot=None, description='')
log_list(name, value, description='')
log_predictions(name, value, description='')
log_residuals(name, value, description='')
log_row(name, description=None, **kwargs)
log_table(name, value, description='')
property name
property number
property parent
property properties
register_model(model_name, model_path=None, tags=None, properties=None, model_framework=None, model_framework_version=None,
    description=None, datasets=None, sample_input_dataset=None, sample_output_dataset=None, resource_configuration=None, **kwargs)
remove_tags(tags)
restore_snapshot(snapshot_id=None, path=None)
set_tags(tags)
start()
property status
submit_child(config, tags=None, **kwargs)
tag(key, value=None)
property tags
take_snapshot(file_or_folder_path)
property type
upload_file(name, path_or_stream, datastore_name=None)
upload_files(names, paths, return_artifacts=False, timeout_seconds=None, datastore_name=None)
upload_folder(name, path, datastore_name=None)
wait_for_completion(show_output=False, wait_post_processing=False, raise_on_error=True)
"""

EXPERIMENT = """
__init__(workspace, name, **kwargs)
archive()
property archived_time
static delete(workspace, experiment_id)
static from_directory(path, auth=None)
class get_docs_url()
get_portal_url()
get_runs(type=None, tags=None, properties=None, include_children=False)
property id
static list(workspace, experiment_name=None, view_type='ActiveOnly', tags=None)
property name
reactivate(new_name=None)
refresh()
remove_tags(tags)
set_tags(tags)
start_logging(*args, **kwargs)
submit(config, tags=None, **kwargs)
tag(key, value=None)
property tags
property workspace
property workspace_object
"""

WORKSPACE = """
__init__(subscription_id=None, resource_group=None, workspace_name=None, auth=None, sku='basic', tags=None)
property compute_targets
static create(name, auth=None, subscription_id=None, resource_group=None, location=None, create_resource_group=True, sku='basic',
    tags=None, **kwargs)
property experiments
static from_config(path=None, auth=None)
static get(name, auth=None, subscription_id=None, resource_group=None, location=None, cloud='AzureCloud', id=None)
get_details()
get_run(run_id)
static list(subscription_id, auth=None, resource_group=None)
property location
property models
property name
property resource_group
static setup()
property subscription_id
property tags
write_config(path=None, file_name=None)
"""

SCRIPT_RUN = """
__init__(experiment, run_id, directory=None, **kwargs)
cancel()
"""

SCRIPT_RUN_CONFIG = """
__init__(source_directory, script=None, arguments=None, run_config=None, _telemetry_values=None, compute_target=None, environment=None,
    distributed_job_config=None, resume_from=None, max_run_duration_seconds=2592000, command=None, docker_runtime_config=None)
"""

RUN_DETAILS = """
__init__(run_instance)
get_widget_data(widget_settings=None)
show(render_lib=None, widget_settings=None)
"""

RUN_CONFIGURATION = """
__init__(script=None, arguments=None, framework=None, communicator=None, conda_dependencies=None, command=None)
static delete(path, name)
settable environment_variables
static load(path, name=None)
save(path=None, name=None, separate_environment_yaml=False)
settable target
"""

MODEL = """
__init__(workspace, name=None, id=None, tags=None, properties=None, version=None, run_id=None, model_framework=None, expand=True, **kwargs)
add_properties(properties)
add_tags(tags)
property created_time
delete()
property description
download(target_dir='.', exist_ok=False, exists_ok=None)
static get_model_path(model_name, version=None, _workspace=None)
property id
static list(workspace, name=None, tags=None, properties=None, run_id=None, latest=False, dataset_id=None, expand=True, page_count=255,
    model_framework=None)
property model_framework
property model_framework_version
property name
property properties
static register(workspace, model_path, model_name, tags=None, properties=None, description=None, datasets=None, model_framework=None,
    model_framework_version=None, child_paths=None, sample_input_dataset=None, sample_output_dataset=None, resource_configuration=None)
remove_tags(tags)
property run
property run_id
property tags
update(tags=None, description=None, sample_input_dataset=None, sample_output_dataset=None, resource_configuration=None)
update_tags_properties(add_tags=None, remove_tags=None, add_properties=None)
property version
property workspace
"""


class Parameter(NamedTuple):
    """A parameter; `default` is None for one that has none, else the default as Python writes it. `stars` is `*` or `**`, or empty."""

    name: str
    default: str | None = None
    stars: str = ""


class Member(NamedTuple):
    """A member of a class; `parameters` is None for a property."""

    name: str
    kind: str
    parameters: tuple[Parameter, ...] | None = None


def members(table: str) -> dict[str, Member]:
    """Return the members that a table names."""
    found = {}
    for line in table.strip().replace("\n    ", " ").splitlines():
        kind, _, rest = (
            line.partition(" ") if line.partition(" ")[0] in ("property", "settable", "static", "class") else ("method", "", line)
        )
        if kind in ("property", "settable"):
            found[rest] = Member(rest, kind)
            continue
        function = ast.parse(f"def {rest}: ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        found[function.name] = Member(function.name, kind, _parameters(function.args))
    return found


def _parameters(arguments: ast.arguments) -> tuple[Parameter, ...]:
    plain = arguments.args
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [ast.unparse(each) for each in arguments.defaults]
    found = [Parameter(each.arg, default) for each, default in zip(plain, defaults, strict=True)]
    if arguments.vararg:
        found.append(Parameter(arguments.vararg.arg, stars="*"))
    if arguments.kwarg:
        found.append(Parameter(arguments.kwarg.arg, stars="**"))
    return tuple(found)
