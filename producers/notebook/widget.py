"""The widget that shows a run in a notebook. Needs the extra `notebook`."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import msgspec
import traitlets

from runherald.producers.notebook.following import Follower, Freshness
from runherald.producers.notebook.picture import page_of, picture_of
from runherald.producers.notebook.reading import Reading, RunReader

_END_SECONDS = 1.0


class RunWidget(anywidget.AnyWidget):
    """Shows a run, and follows it from a thread, so that it moves while a cell runs. Each trait is a part of `Picture`.

    The browser says which views there are: when the last of them is gone, nothing is read until there is one again.
    """

    _esm: ClassVar[Path] = Path(__file__).with_name("widget.js")
    _css: ClassVar[Path] = Path(__file__).with_name("widget.css")

    run_id = traitlets.Unicode().tag(sync=True)
    page = traitlets.Unicode().tag(sync=True)
    run = traitlets.Dict().tag(sync=True)
    charts = traitlets.Dict().tag(sync=True)
    figures = traitlets.Dict().tag(sync=True)
    children = traitlets.Dict().tag(sync=True)
    log = traitlets.Dict().tag(sync=True)
    freshness = traitlets.Dict().tag(sync=True)

    def __init__(self, reader: RunReader, url: str, run_id: str) -> None:
        first = msgspec.to_builtins(Freshness(state="live", message="Reading the run"))
        super().__init__(run_id=run_id, page=page_of(url, run_id), freshness=first)
        self._url = url
        self._views: set[str] = set()
        self._follower = Follower(reader.read, self._show, self._say, reader.close)
        self.on_msg(self._heard)
        atexit.register(self._end)
        self._follower.start()

    @property
    def following(self) -> bool:
        """Whether the run is still followed."""
        return self._follower.running

    def close(self) -> None:
        """Follow the run no longer, and take the widget away."""
        self._end()
        super().close()

    def __repr__(self) -> str:
        status = self.run.get("status", {}).get("words", "")
        return f"RunDetails({self.run_id}{', ' + status if status else ''}): {self.page}"

    def _show(self, reading: Reading) -> None:
        picture = msgspec.to_builtins(picture_of(reading, self._url))
        with self.hold_sync():  # one message, of the parts that changed
            for part, value in picture.items():
                self.set_trait(part, value)

    def _say(self, freshness: Freshness) -> None:
        self.set_trait("freshness", msgspec.to_builtins(freshness))

    def _heard(self, _: object, content: Any, __: object) -> None:
        if not isinstance(content, dict) or not isinstance(content.get("view"), str):
            return
        if content.get("kind") == "here":
            self._views.add(content["view"])
            self._follower.resume()
        elif content.get("kind") == "gone":
            self._views.discard(content["view"])
            if not self._views:
                self._follower.pause()

    def _end(self) -> None:
        atexit.unregister(self._end)
        self._follower.stop(_END_SECONDS)
