"""A learner in a folder: lvt/learner.h as an object."""
import ctypes
import math
import threading
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional

import numpy as np

from . import _library
from ._library import UsageError, lib, path_bytes, text
from .program import _Handle
from .tensors import as_array


class Progress(NamedTuple):
    """Where a day stands; losses: means since the last record, by name. phase: what takes time beside steps, or None."""
    day: int
    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    seconds_left: float
    losses: Dict[str, float]
    phase: Optional[str]


class Class(NamedTuple):
    """A class: place: its column in answers; since: the day of its first picture, from 1; accuracy, best: 0..1, NaN: not
    examined."""
    name: str
    place: int
    since: int
    pictures: int
    remembered: int
    exam: int
    accuracy: float
    best: float


class Learner:
    """Learns what comes each day, whatever classes that is of, and answers with their names.

    folder: holds all that it needs, from one day to the next. program: of a new folder; or one with room for more classes.
    look: only look and ask. Settings of training by name: lvt.Learner("robot/", "lvt-s.lvtx", memory=500, epochs=20).
    """

    def __init__(self, folder, program=None, *, threads: int = 0, interpret: bool = False, look: bool = False, **settings):
        if not lib.has_learner:
            raise UsageError(f"{lib.path} is of a version of lvt without learners")
        options = _library.LearnerOptions(program=path_bytes(program), threads=threads, interpret=interpret, look=look)
        value = ctypes.c_void_p()
        lib.learner_open(path_bytes(folder), ctypes.byref(options), ctypes.byref(value))
        self._handle = _Handle(value.value, lib.learner_close)
        self._lock = threading.RLock()
        for name, setting in settings.items():
            self.set(name, setting)

    def _live(self):
        if self._handle is None:
            raise UsageError("the learner is closed")
        return self._handle.value

    def close(self) -> None:
        """Pictures that were added and not learned are gone."""
        with self._lock:
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def set(self, name: str, value) -> None:
        """A setting, by the names of `lvt-run learn --help`; underscores stand for dashes."""
        word = str(value).lower() if isinstance(value, bool) else str(value)
        with self._lock:
            lib.learner_set(self._live(), name.replace("_", "-").encode(), word.encode())

    def _pictures(self, pictures):
        about = self.about
        shape = (about.height, about.width, about.channels)
        array = as_array(pictures)
        if array.dtype != np.uint8:
            raise TypeError(f"pictures are uint8, 0 to 255, not {array.dtype}")
        if array.shape[-3:] != shape and not (shape[2] == 1 and array.shape[-2:] == shape[:2]):
            raise ValueError(f"pictures have the shape {array.shape}, {shape} each is wanted")
        return np.ascontiguousarray(array).reshape((-1,) + shape)

    def add(self, name: str, picture) -> None:
        """Adds a picture of a class to today's: the path of a file, or uint8[height, width, channels]."""
        with self._lock:
            handle = self._live()
            if isinstance(picture, (str, bytes)) or hasattr(picture, "__fspath__"):
                lib.learner_add_file(handle, name.encode(), path_bytes(picture))
            else:
                for one in self._pictures(picture):
                    lib.learner_add(handle, name.encode(), one.ctypes.data)

    def add_data(self, spec: str) -> None:
        """All training pictures of a data set, "folder:monday/"."""
        with self._lock:
            lib.learner_add_data(self._live(), path_bytes(spec))

    def learn(self, progress: Optional[Callable[[Progress], Optional[bool]]] = None, *, again: bool = False) -> None:
        """Learns what was added, as one day. progress is called now and then; where it returns True, or raises, learning
        stops after the step (lvt.Interrupted), and goes on when the same pictures are given again."""
        state = {"stop": False, "raised": None}

        def tell(_, pointer):
            p = pointer.contents
            try:
                losses = {text(p.names[i]): p.losses[i] for i in range(p.n_losses)}
                said = Progress(p.day, p.epoch, p.epochs, p.step, p.steps, p.images_per_second, p.seconds_left, losses,
                                text(p.phase))
                state["stop"] = bool(progress(said)) or state["stop"]
            except BaseException as e: # no exception passes through C
                state["raised"], state["stop"] = e, True

        events = _library.LearnerEvents(stop=_library.Stop(lambda _: state["stop"]), again=again)
        if progress:
            events.progress = _library.Progress(tell)
        try:
            with self._lock:
                lib.learner_learn(self._live(), ctypes.byref(events))
        except _library.Interrupted:
            if state["raised"] is not None:
                raise state["raised"]
            raise
        if state["raised"] is not None:
            raise state["raised"]

    def undo(self) -> None:
        """Back to the evening before."""
        with self._lock:
            lib.learner_undo(self._live())

    def rename(self, name: str, new: str) -> None:
        """A class has another name from now on; its place, pictures and answers stay."""
        with self._lock:
            lib.learner_rename(self._live(), name.encode(), new.encode())

    def forget(self, name: str) -> None:
        """Pictures, exam, answers and name of a class are gone; the weights are not unlearned."""
        with self._lock:
            lib.learner_forget(self._live(), name.encode())

    @property
    def about(self):
        """height, width, channels, room, classes, days, unfinished, pictures, remembered, memory, exam, accuracy, ..."""
        with self._lock:
            return lib.learner_about(self._live())

    @property
    def classes(self) -> List[Class]:
        """Those that are known, in the order of their places."""
        with self._lock:
            handle, out = self._live(), []
            for place in range(lib.learner_about(handle).room):
                c = lib.learner_class(handle, place)
                if c.name:
                    out.append(Class(text(c.name), place, c.since, c.pictures, c.remembered, c.exam, c.accuracy, c.best))
            return out

    def accuracy(self, day: int, name: str) -> float:
        """Of a class at the evening of a day; NaN: not examined."""
        return lib.learner_accuracy(self._live(), day, self._place(name))

    def _place(self, name):
        for c in self.classes:
            if c.name == name:
                return c.place
        raise KeyError(f"there is no class {name!r}")

    def read(self, path) -> np.ndarray:
        """The pixels of a file, uint8[height, width, channels], as predict takes them."""
        about = self.about
        out = np.empty((about.height, about.width, about.channels), np.uint8)
        with self._lock:
            lib.learner_read(self._live(), path_bytes(path), out.ctypes.data)
        return out

    def probabilities(self, pictures) -> np.ndarray:
        """uint8[n, height, width, channels] -> f32[n, room]; rows add up to 1, free places have 0."""
        array = self._pictures(pictures)
        out = np.zeros((len(array), self.about.room), np.float32)
        with self._lock:
            lib.learner_predict(self._live(), array.ctypes.data, len(array),
                                out.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        return out

    def predict(self, pictures: Iterable) -> List[str]:
        """The most probable class of each: a list of files, or uint8[n, height, width, channels]."""
        items = pictures if hasattr(pictures, "dtype") else [
            self.read(p) if isinstance(p, (str, bytes)) or hasattr(p, "__fspath__") else as_array(p) for p in pictures]
        names = {c.place: c.name for c in self.classes}
        rows = self.probabilities(items if hasattr(items, "dtype") else np.stack(items)) if len(items) else []
        return [names[int(row.argmax())] for row in rows]

    def examine(self) -> Dict[str, float]:
        """Accuracy of every known class, now; NaN: it has no picture."""
        out = np.full(self.about.room, math.nan)
        with self._lock:
            lib.learner_examine(self._live(), out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)), None)
        return {c.name: float(out[c.place]) for c in self.classes}

    def save_weights(self, path) -> None:
        """A safetensors file for `lvtc --weights` and others: no memory, no pictures."""
        with self._lock:
            lib.learner_save_weights(self._live(), path_bytes(path))
