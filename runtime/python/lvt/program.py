"""Programs and sessions: lvt.h as objects."""
import ctypes
import difflib
import os
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from . import _library
from ._library import Error, FileError, UsageError, lib, path_bytes, text
from .tensors import DTYPES, NAMES, as_array, from_bf16

_ROLES = ["input", "output", "parameter", "state"]


class Tensor(NamedTuple):
    """What an input, an output or a state is.

    name: in the model file; of a state its path. dtype: "f32", "bf16", "f64", "i32", "u8" or "bool"; bf16 values are numpy
    uint16 with the bits as they are. shape: () is a scalar. role: "input", "output", "parameter" or "state". used: of
    inputs, something is computed from it. default: of a scalar input that need not be given, else None. place: where the
    model file declares it, "FILE:LINE".
    """
    name: str
    dtype: str
    shape: Tuple[int, ...]
    role: str
    used: bool
    default: Optional[float]
    place: Optional[str]


class Step(NamedTuple):
    """A step of an entry: one kernel. seconds and runs: of Session.times, else 0. flops, bytes: of one run."""
    op: str
    name: Optional[str]
    family: str
    variant: str
    role: str
    place: Optional[str]
    flops: float
    bytes: float
    seconds: float
    runs: int


def _place(pos):
    return f"{text(pos.file)}:{pos.line}" if pos.file else None


def _tensor(info):
    t = info.type
    return Tensor(text(info.name), NAMES[t.dtype], tuple(t.dim[:t.rank]), _ROLES[info.role], info.used,
                  info.default_value if info.has_default else None, _place(info.at))


def _find(kind, name, names):
    if name in names:
        return names[name]
    near = difflib.get_close_matches(str(name), list(names), 1)
    raise KeyError(f"there is no {kind} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "") +
                   ("; there are " + ", ".join(names) if len(names) <= 20 else ""))


class Entry:
    """A step that a program can run: name, training, inputs and outputs (Tensor by name), flops and bytes of one run."""

    def __init__(self, program, index):
        self._index = index
        info = lib.program_entry(program, index)
        self.name: str = text(info.name)
        self.training: bool = info.training
        self.n_steps: int = info.n_steps
        self.working_bytes: int = info.working_bytes
        self.kept_bytes: int = info.kept_bytes
        self.flops: float = info.flops
        self.bytes: float = info.bytes
        self.inputs: Dict[str, Tensor] = {}
        self.outputs: Dict[str, Tensor] = {}
        for i in range(info.n_inputs):
            t = _tensor(lib.program_input(program, index, i))
            self.inputs[t.name] = t
        for i in range(info.n_outputs):
            t = _tensor(lib.program_output(program, index, i))
            self.outputs[t.name] = t

    def __repr__(self):
        def show(t):
            return f"{t.name}: {t.dtype}[{','.join(map(str, t.shape))}]" + ("" if t.default is None else f" = {t.default:g}")
        return f"{self.name}({', '.join(map(show, self.inputs.values()))}) -> " \
               f"{', '.join(map(show, self.outputs.values())) or 'nothing'}"


class _Handle:
    """Something of the library's that is freed when nobody needs it any more, after those that it is kept by.

    Where a whole circle of objects is given up at once Python ends them in any order, so they are counted here.
    """

    def __init__(self, value, free, keep=None):
        self.value = value
        self._free = free
        self._keep = keep
        self._users = 0
        self._dropped = False
        if keep is not None:
            keep._users += 1

    def __del__(self):
        self._dropped = True
        self._end()

    def _end(self):
        if self._dropped and not self._users and self.value:
            self._free(self.value)
            self.value = None
            if self._keep is not None:
                self._keep._users -= 1
                self._keep._end()


class _Loan:
    """Lives as long as an array of a session's memory does."""

    def __init__(self, handle):
        self._handle = handle
        handle._users += 1

    def __del__(self):
        self._handle._users -= 1
        self._handle._end()


class Program:
    """A program that lvtc compiled.

    path: the .lvtx file. cache: folder for machine code (None: the user's; "": none). threads: of sessions that do not say
    (0: all processors). interpret: run on the reference interpreter, slow. weights: a safetensors file that states start
    from, map: a file of lines FROM = TO for its names. kernels: a folder that `lvt-run pack` made (None: what LVT_KERNELS
    names).
    """

    def __init__(self, path, *, cache=None, threads: int = 0, interpret: bool = False, weights=None, map=None,
                 kernels=None):
        options = _library.ProgramOptions(cache=path_bytes(cache), interpret=interpret, threads=threads,
                                          weights=path_bytes(weights), map=path_bytes(map), kernels=path_bytes(kernels))
        value = ctypes.c_void_p()
        lib.program_open(path_bytes(path), ctypes.byref(options), ctypes.byref(value))
        self._handle = _Handle(value.value, lib.program_close)
        self.path = os.fspath(path)
        self.name: str = text(lib.program_name(value))
        self.hash: str = f"{lib.program_hash(value):016x}"
        entries = [Entry(value, i) for i in range(lib.program_entries(value))]
        self.entries: Dict[str, Entry] = {e.name: e for e in entries}
        states = [_tensor(lib.program_state(value, i)) for i in range(lib.program_states(value))]
        self.states: Dict[str, Tensor] = {t.name: t for t in states}
        self.settings: Dict[str, str] = {}
        name, setting = ctypes.c_char_p(), ctypes.c_char_p()
        while lib.program_setting(value, len(self.settings), ctypes.byref(name), ctypes.byref(setting)):
            self.settings[text(name.value)] = text(setting.value)

    def session(self, *, threads: int = 0, seed: int = 0, entries: Optional[Iterable[str]] = None) -> "Session":
        """Memory, initial values by the seed, and kernels of these entries (None: of all)."""
        return Session(self, threads=threads, seed=seed, entries=entries)

    def steps(self, entry: str) -> List[Step]:
        """The steps of an entry, in the order in which they run."""
        e = _find("entry", entry, self.entries)
        out = []
        for i in range(e.n_steps):
            t = lib.program_step(self._handle.value, e._index, i)
            out.append(Step(text(t.op), text(t.name), text(t.family), text(t.variant), text(t.role), _place(t.at), t.flops,
                            t.bytes, 0.0, 0))
        return out

    def __repr__(self):
        return f"<lvt.Program {self.name} of {self.path}: {', '.join(self.entries)}>"


class States(Mapping):
    """The states of a session by name, as numpy arrays that are the session's memory: no copies.

    states["name"][...] = values changes the session, and a run changes the array. An array may outlive the session. As long
    as one is kept, each run makes anew what it folds from states alone; let go of those that are not needed.
    """

    def __init__(self, session):
        self._session = session

    def __getitem__(self, name) -> np.ndarray:
        return self._session._state(name)

    def __setitem__(self, name, value):
        self[name][...] = as_array(value)

    def __iter__(self):
        return iter(self._session.program.states)

    def __len__(self):
        return len(self._session.program.states)


class Session:
    """A program's memory and kernels. One thread at a time runs in it; others wait."""

    def __init__(self, program: Program, *, threads: int = 0, seed: int = 0, entries: Optional[Iterable[str]] = None):
        self.program = program
        chosen = None if entries is None else [_find("entry", e, program.entries)._index for e in entries]
        options = _library.SessionOptions(threads=threads, seed=seed)
        if chosen is not None:
            options.entries = (ctypes.c_int * max(1, len(chosen)))(*chosen)
            options.n_entries = len(chosen)
        value = ctypes.c_void_p()
        lib.session_new(program._handle.value, ctypes.byref(options), ctypes.byref(value))
        self._handle = _Handle(value.value, lib.session_free, keep=program._handle)
        self._prepared = set(program.entries if entries is None else entries)
        self._lent = weakref.WeakSet()
        self._lock = threading.RLock()
        self._index = {name: i for i, name in enumerate(program.states)}

    @property
    def states(self) -> States:
        """All states by name, to read and to write."""
        return States(self)

    @property
    def threads(self) -> int:
        """Of its team: with it and the processor go the bits."""
        return lib.session_threads(self._live())

    def _live(self):
        if self._handle is None:
            raise UsageError("the session is closed")
        return self._handle.value

    def close(self) -> None:
        """Gives the memory back, but for what arrays of states still need."""
        with self._lock:
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def prepare(self, *entries: str) -> None:
        """Makes the kernels of these entries (none named: of all). This is what takes time; run does so where it has to."""
        chosen = [_find("entry", e, self.program.entries) for e in entries or self.program.entries]
        indices = (ctypes.c_int * len(chosen))(*[e._index for e in chosen])
        with self._lock:
            lib.session_prepare(self._live(), indices, len(chosen))
            self._prepared.update(e.name for e in chosen)

    def _inputs(self, entry, given):
        for name in given:
            _find(f"input of {entry.name}", name, entry.inputs)
        values, keep = (ctypes.c_void_p * max(1, len(entry.inputs)))(), []
        for i, t in enumerate(entry.inputs.values()):
            value = given.get(t.name)
            if value is None:
                continue # the library takes the default, or says that there is none
            array = as_array(value)
            wanted = DTYPES[NAMES.index(t.dtype)]
            if t.dtype == "bf16" and array.dtype != wanted:
                array = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(wanted)
            if not np.can_cast(array.dtype, wanted, "same_kind") and not (
                    array.dtype.kind in "iub" and wanted.kind in "fiu"):
                raise TypeError(f"input {t.name} of {entry.name}: {array.dtype} is no {t.dtype}")
            if array.shape != t.shape:
                raise ValueError(f"input {t.name} of {entry.name}: its shape is {array.shape}, {t.shape} is wanted")
            if array.dtype.kind in "iu" and wanted.kind == "i" and array.size and (
                    array.max() > np.iinfo(wanted).max or array.min() < np.iinfo(wanted).min):
                raise ValueError(f"input {t.name} of {entry.name}: a value does not fit {t.dtype}")
            array = np.require(array, wanted, ["C", "A"])
            keep.append(array)
            values[i] = array.ctypes.data
        return values, keep

    def run(self, entry: str, *, copy: bool = True, **inputs) -> Dict[str, np.ndarray]:
        """One step of an entry.

        Inputs go by name: anything numpy understands, of the shape that program.entries[entry].inputs says; numbers are
        converted where nothing is lost but digits. One that is missing takes its default. Returns the outputs by name;
        scalars are numpy arrays of shape (). copy=False: they are the session's memory, valid until its next run.
        """
        e = _find("entry", entry, self.program.entries)
        values, keep = self._inputs(e, inputs)
        with self._lock:
            handle = self._live()
            if e.name not in self._prepared:
                self.prepare(e.name)
            if len(self._lent):
                lib.session_state(handle, 0) # whoever holds an array may have written: see States
            lib.session_run(handle, e._index, values)
            del keep
            out = {}
            for i, t in enumerate(e.outputs.values()):
                array, _ = self._view(lib.session_output(handle, e._index, i), t)
                out[t.name] = array.copy() if copy else array
            return out

    def check(self, entry: str, **inputs) -> None:
        """Runs the entry on kernels and on the reference interpreter; raises with the first step that differs."""
        e = _find("entry", entry, self.program.entries)
        values, keep = self._inputs(e, inputs)
        with self._lock:
            lib.session_check(self._live(), e._index, values)
        del keep

    def _view(self, address, t):
        kind = DTYPES[NAMES.index(t.dtype)]
        count = int(np.prod(t.shape, dtype=np.int64))
        memory = (ctypes.c_uint8 * (count * kind.itemsize)).from_address(address)
        memory.loan = _Loan(self._handle) # the array keeps the memory, the memory the session
        return np.frombuffer(memory, kind, count).reshape(t.shape), memory.loan

    def _state(self, name):
        i = _find("state", name, self._index)
        with self._lock:
            array, loan = self._view(lib.session_state(self._live(), i), self.program.states[name])
            self._lent.add(loan)
            return array

    def state_dict(self, parameters_only: bool = False) -> Dict[str, np.ndarray]:
        """Copies of all states by name (of parameters alone); torch.from_numpy takes each. bf16 becomes f32."""
        out = {}
        for name, t in self.program.states.items():
            if not parameters_only or t.role == "parameter":
                array = self._state(name).copy()
                out[name] = from_bf16(array) if t.dtype == "bf16" else array
        return out

    def load_state_dict(self, values: Mapping, strict: bool = True) -> None:
        """States from arrays, or tensors of PyTorch, by name; shapes have to agree, and nothing changes before all do.
        strict: all parameters have to be there, and nothing else."""
        unknown = [n for n in values if n not in self.program.states]
        missing = [n for n, t in self.program.states.items() if t.role == "parameter" and n not in values]
        if strict and (unknown or missing):
            raise KeyError("; ".join(f"{what}: {', '.join(map(str, names[:5]))}{', ...' if len(names) > 5 else ''}"
                                     for what, names in (("no such state", unknown), ("missing", missing)) if names))
        arrays = {}
        for name in values:
            if name in self.program.states:
                t, array = self.program.states[name], as_array(values[name])
                if array.shape != t.shape:
                    raise ValueError(f"state {name}: its shape is {array.shape}, {t.shape} is wanted")
                arrays[name] = array
        for name, array in arrays.items():
            if self.program.states[name].dtype == "bf16" and array.dtype.kind == "f":
                array = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16)
            self._state(name)[...] = array

    def unsound(self) -> Optional[Tuple[str, int]]:
        """The first state with a NaN, or an infinity that does not belong there, and its element; None: all are well."""
        element = ctypes.c_int64()
        with self._lock:
            state = lib.session_unsound(self._live(), ctypes.byref(element))
        return None if state < 0 else (list(self.program.states)[state], element.value)

    def reset(self, seed: int = 0) -> None:
        """Initial values again."""
        with self._lock:
            lib.session_reset(self._live(), seed)

    def profile(self, on: bool = True) -> None:
        """Times single steps from now on, or no more."""
        with self._lock:
            lib.session_profile(self._live(), on)

    def times(self, entry: str) -> List[Step]:
        """Steps of an entry with seconds (total) and runs since profile()."""
        e = _find("entry", entry, self.program.entries)
        with self._lock:
            times = lib.session_times(self._live(), e._index)
            if not times:
                raise UsageError("times are kept after session.profile()")
            return [step._replace(seconds=times[i].seconds, runs=times[i].runs)
                    for i, step in enumerate(self.program.steps(entry))]


def _compiler():
    named = os.environ.get("LVTC")
    folder = os.path.dirname(os.path.realpath(lib.path)) if os.path.sep in lib.path else ""
    beside = [os.path.join(folder, "lvtc"), os.path.join(folder, "..", "bin", "lvtc"),
              os.path.join(folder, "..", "..", "bin", "lvtc")] if folder else []
    for path in [named] if named else beside + [shutil.which("lvtc") or ""]:
        if path and os.access(path, os.X_OK):
            return path
    raise FileError("the compiler lvtc was not found; name it in the environment variable LVTC")


def compile(model, output=None, *, options: Iterable[str] = (), program: Optional[dict] = None, **settings) -> Program:
    """Compiles a model file by lvtc and opens the program.

    output: where the program goes (None: nowhere, it is opened and gone). settings: `--set NAME=VALUE` each. options:
    further words for lvtc, "--weights=FILE". program: what lvt.Program takes beside the path. Raises lvt.Error with the
    compiler's words, place and line included.
    """
    def word(value):
        return str(value).lower() if isinstance(value, bool) else str(value)
    with tempfile.TemporaryDirectory(prefix="lvt-") as scratch:
        path = os.fspath(output) if output is not None else os.path.join(scratch, "program.lvtx")
        command = [_compiler(), os.fspath(model), "-o", path, *options]
        command += [part for name, value in settings.items() for part in ("--set", f"{name}={word(value)}")]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        words = done.stderr.decode("utf-8", "backslashreplace").strip()
        if done.returncode:
            raise _library._of_status.get(done.returncode, Error)(words or f"lvtc ended with {done.returncode}")
        if words:
            _library.warnings.warn(words, _library.Warning, stacklevel=2)
        return Program(path, **(program or {}))
