"""MLflow as a tracker: a server, or whatever store the installed `mlflow` can open."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.integrations._libraries import library

_MOST = 100  # parameters that one call may hold
_SECONDS = 5.0  # that a server may take to its first answer


class MLflow:
    """Keeps runs in MLflow. Implements `tts.integrations.tracking.Tracker`.

    Args:
        tracking_uri: Address of a server or store; None for what `MLFLOW_TRACKING_URI` says.
        experiment: Its runs are filed under this; made if there is none.

    Raises:
        ConfigError: MLflow is not installed, or the address cannot be reached or opened.
    """

    name = "MLflow"

    def __init__(self, tracking_uri: str | None = None, experiment: str = "tts") -> None:
        mlflow = library("mlflow", "tracking")
        uri = tracking_uri or mlflow.get_tracking_uri()
        if uri.startswith(("http://", "https://")):
            _check_reachable(uri)
        try:
            self._client = mlflow.MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            known = found.experiment_id if found else self._client.create_experiment(experiment)
        except mlflow.exceptions.MlflowException as error:
            raise ConfigError(
                f"MLflow cannot use {uri}: {' '.join(str(error).split())}",
                hint="Set tracker.tracking_uri to a server (http://...); for sqlite:/// the whole"
                " `mlflow` must be installed, not mlflow-skinny.",
            ) from error
        self._experiment: str = known

    def begin(self, name: str, parameters: Mapping[str, str]) -> _MLflowRun:
        """Start a run."""
        from mlflow.entities import Param

        run = self._client.create_run(self._experiment, run_name=name)
        given = iter([Param(key, value) for key, value in parameters.items()])
        while batch := list(islice(given, _MOST)):
            self._client.log_batch(run.info.run_id, params=batch)
        return _MLflowRun(self._client, run.info.run_id)


class _MLflowRun:
    """One run of MLflow. Implements `tts.integrations.tracking.Book`."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in values.items()]
        for batch in _batches(metrics):
            self._client.log_batch(self._run_id, metrics=batch)

    def keep(self, files: Sequence[Path]) -> None:
        for path in files:
            self._client.log_artifact(self._run_id, str(path))

    def close(self, *, failed: bool) -> None:
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _MOST):
        yield items[start : start + _MOST]


def _check_reachable(uri: str) -> None:
    """Ask a server for a sign of life; its own client would try for minutes."""
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise ConfigError(
            f"No MLflow server answers at {uri}: {error or type(error).__name__}.",
            hint="Start it, correct tracker.tracking_uri, or set tracker=none.",
        ) from error
