"""The shared library through ctypes: where it is, its structures, the table of its functions. Private."""
import ctypes
import ctypes.util
import glob
import os
import warnings
from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint32,
                    c_uint64, c_uint8, c_void_p)


class Error(Exception):
    """What the library says went wrong. status: "user", "usage", "io", "memory", "interrupt" or "internal"."""
    status = "user"


class UsageError(Error):
    """A call that cannot be right, whatever the data are."""
    status = "usage"


class FileError(Error, OSError):
    """The system refused a file."""
    status = "io"

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class OutOfMemory(Error, MemoryError):
    """There was not enough memory."""
    status = "memory"


class Interrupted(Error):
    """Stopped on request; what was done is saved."""
    status = "interrupt"


class InternalError(Error):
    """A bug in lvt."""
    status = "internal"


class Warning(UserWarning):
    """What the library warns of."""


_of_status = {1: Error, 2: UsageError, 3: FileError, 4: OutOfMemory, 5: Interrupted, 70: InternalError}

# ---- structures: ir/type.h, ir/base/diag.h, lvt.h; tests/python compares them with what a C compiler says ---------------

MAX_RANK = 6


class Pos(Structure):
    _fields_ = [("file", c_char_p), ("line", c_uint32), ("col", c_uint32)]


class Type(Structure):
    _fields_ = [("dtype", c_uint8), ("rank", c_uint8), ("dim", c_int64 * MAX_RANK)]


class ProgramOptions(Structure):
    _fields_ = [("cache", c_char_p), ("interpret", c_bool), ("threads", c_int), ("compile_apart", c_bool),
                ("no_weights", c_bool), ("weights", c_char_p), ("map", c_char_p), ("kernels", c_char_p)]


class SessionOptions(Structure):
    _fields_ = [("threads", c_int), ("seed", c_uint64), ("entries", POINTER(c_int)), ("n_entries", c_int)]


class EntryInfo(Structure):
    _fields_ = [("name", c_char_p), ("training", c_bool), ("n_inputs", c_int), ("n_outputs", c_int), ("n_steps", c_int),
                ("n_updates", c_int), ("working_bytes", c_uint64), ("kept_bytes", c_uint64), ("flops", c_double),
                ("bytes", c_double)]


class TensorInfo(Structure):
    _fields_ = [("name", c_char_p), ("type", Type), ("bytes", c_size_t), ("role", c_int), ("used", c_bool),
                ("has_default", c_bool), ("default_value", c_double), ("at", Pos)]


class StepInfo(Structure):
    _fields_ = [("op", c_char_p), ("name", c_char_p), ("family", c_char_p), ("variant", c_char_p), ("role", c_char_p),
                ("prologue", c_bool), ("at", Pos), ("from_", Pos), ("flops", c_double), ("bytes", c_double)]


class StepTime(Structure):
    _fields_ = [("seconds", c_double), ("runs", c_uint64)]


class LearnerOptions(Structure):
    _fields_ = [("program", c_char_p), ("threads", c_int), ("interpret", c_bool), ("look", c_bool)]


class LearnerProgress(Structure):
    _fields_ = [("day", c_int), ("epoch", c_int), ("epochs", c_int), ("step", c_uint64), ("steps", c_uint64),
                ("images_per_second", c_double), ("seconds_left", c_double), ("n_losses", c_int),
                ("names", POINTER(c_char_p)), ("losses", POINTER(c_double)), ("phase", c_char_p)]


Stop = CFUNCTYPE(c_bool, c_void_p)
Progress = CFUNCTYPE(None, c_void_p, POINTER(LearnerProgress))


class LearnerEvents(Structure):
    _fields_ = [("user", c_void_p), ("stop", Stop), ("progress", Progress), ("again", c_bool)]


class LearnerInfo(Structure):
    _fields_ = [("height", c_int), ("width", c_int), ("channels", c_int), ("room", c_int), ("classes", c_int), ("days", c_int),
                ("unfinished", c_bool), ("pictures", c_uint64), ("remembered", c_int), ("memory", c_int), ("exam", c_int),
                ("accuracy", c_double), ("forgotten", c_double), ("method", c_char_p), ("threads", c_int)]


class ClassInfo(Structure):
    _fields_ = [("name", c_char_p), ("since", c_int), ("pictures", c_uint64), ("remembered", c_int), ("exam", c_int),
                ("accuracy", c_double), ("best", c_double)]


# The C names of the structures, for the test.
STRUCTURES = {"lvt_pos": Pos, "lvt_type": Type, "lvt_program_options": ProgramOptions,
              "lvt_session_options": SessionOptions, "lvt_entry_info": EntryInfo, "lvt_tensor_info": TensorInfo,
              "lvt_step_info": StepInfo, "lvt_step_time": StepTime}
LEARNER_STRUCTURES = {"lvt_learner_options": LearnerOptions, "lvt_learner_progress": LearnerProgress,
                      "lvt_learner_events": LearnerEvents, "lvt_learner_info": LearnerInfo, "lvt_class_info": ClassInfo}

# ---- functions: name, result, arguments; a result `status` is checked and has a diag as its last argument ---------------

p, s = c_void_p, c_char_p
STATUS = "status"
FUNCTIONS = [
    ("lvt_version", s, []),
    ("lvt_diag_new", p, []),
    ("lvt_diag_free", None, [p]),
    ("lvt_diag_clear", None, [p]),
    ("lvt_diag_errors", c_size_t, [p]),
    ("lvt_diag_warnings", c_size_t, [p]),
    ("lvt_diag_text", p, [p]),
    ("lvt_program_open", STATUS, [s, POINTER(ProgramOptions), POINTER(p), p]),
    ("lvt_program_close", None, [p]),
    ("lvt_program_name", s, [p]),
    ("lvt_program_hash", c_uint64, [p]),
    ("lvt_program_entries", c_int, [p]),
    ("lvt_program_states", c_int, [p]),
    ("lvt_program_entry", EntryInfo, [p, c_int]),
    ("lvt_program_input", TensorInfo, [p, c_int, c_int]),
    ("lvt_program_output", TensorInfo, [p, c_int, c_int]),
    ("lvt_program_step", StepInfo, [p, c_int, c_int]),
    ("lvt_program_state", TensorInfo, [p, c_int]),
    ("lvt_program_updates", c_bool, [p, c_int, c_int]),
    ("lvt_program_setting", c_bool, [p, c_int, POINTER(s), POINTER(s)]),
    ("lvt_session_new", STATUS, [p, POINTER(SessionOptions), POINTER(p), p]),
    ("lvt_session_threads", c_int, [p]),
    ("lvt_session_free", None, [p]),
    ("lvt_session_prepare", STATUS, [p, POINTER(c_int), c_int, p]),
    ("lvt_session_run", STATUS, [p, c_int, POINTER(p), p]),
    ("lvt_session_output", p, [p, c_int, c_int]),
    ("lvt_session_state", p, [p, c_uint32]),
    ("lvt_session_unsound", c_int64, [p, POINTER(c_int64)]),
    ("lvt_session_reset", None, [p, c_uint64]),
    ("lvt_session_release", None, [p, c_int]),
    ("lvt_session_profile", None, [p, c_bool]),
    ("lvt_session_times", POINTER(StepTime), [p, c_int]),
    ("lvt_session_check", STATUS, [p, c_int, POINTER(p), p]),
]
LEARNER_FUNCTIONS = [
    ("lvt_learner_open", STATUS, [s, POINTER(LearnerOptions), POINTER(p), p]),
    ("lvt_learner_close", None, [p]),
    ("lvt_learner_set", STATUS, [p, s, s, p]),
    ("lvt_learner_add", STATUS, [p, s, p, p]),
    ("lvt_learner_add_file", STATUS, [p, s, s, p]),
    ("lvt_learner_add_data", STATUS, [p, s, p]),
    ("lvt_learner_learn", STATUS, [p, POINTER(LearnerEvents), p]),
    ("lvt_learner_undo", STATUS, [p, p]),
    ("lvt_learner_rename", STATUS, [p, s, s, p]),
    ("lvt_learner_forget", STATUS, [p, s, p]),
    ("lvt_learner_about", LearnerInfo, [p]),
    ("lvt_learner_class", ClassInfo, [p, c_int]),
    ("lvt_learner_accuracy", c_double, [p, c_int, c_int]),
    ("lvt_learner_pictures", c_uint64, [p, c_int, c_int]),
    ("lvt_learner_predict", STATUS, [p, p, c_int, POINTER(c_float), p]),
    ("lvt_learner_read", STATUS, [p, s, p, p]),
    ("lvt_learner_examine", STATUS, [p, POINTER(c_double), POINTER(c_double), p]),
    ("lvt_learner_save_weights", STATUS, [p, s, p]),
]


# ---- loading ----------------------------------------------------------------------------------------------------------------

def _candidates():
    here = os.path.dirname(os.path.abspath(__file__))
    named = os.environ.get("LVT_LIBRARY")
    if named:
        return [named]
    found = []
    try:
        from ._where import LIBRARY  # written by CMake: from this folder to where it put the library
        found.append(os.path.join(here, LIBRARY))
    except ImportError:
        pass
    found += sorted(glob.glob(os.path.join(here, "liblvt.so*")), reverse=True)
    found += [ctypes.util.find_library("lvt") or "", "liblvt.so.0.1"]
    return [name for name in found if name]


def _load():
    wrong = []
    for path in _candidates():
        try:
            return ctypes.CDLL(path), path
        except OSError as e:
            wrong.append(str(e))
    raise ImportError("lvt: the shared library liblvt was not found; install lvt, or name the file in the environment "
                      "variable LVT_LIBRARY\n  " + "\n  ".join(wrong))


class Library:
    """The functions by their names without lvt_; those that return a status raise and warn instead."""

    def __init__(self):
        self._dll, self.path = _load()
        self._libc_free = ctypes.CDLL(None).free
        self._libc_free.argtypes = [c_void_p]
        self._libc_free.restype = None
        self.has_learner = hasattr(self._dll, "lvt_learner_open")
        for name, result, arguments in FUNCTIONS + (LEARNER_FUNCTIONS if self.has_learner else []):
            f = getattr(self._dll, name)
            f.argtypes = arguments
            f.restype = c_int if result is STATUS else result
            setattr(self, name[4:], self._checked(f) if result is STATUS else f)

    def _checked(self, f):
        def call(*arguments):
            diag = self.diag_new()
            if not diag:
                raise OutOfMemory("out of memory")
            try:
                self.judge(f(*arguments, diag), diag)
            finally:
                self.diag_free(diag)
        return call

    def text(self, diag):
        words = self.diag_text(diag)
        if not words:
            return "out of memory"
        try:
            return ctypes.string_at(words).decode("utf-8", "backslashreplace").rstrip("\n")
        finally:
            self._libc_free(words)

    def judge(self, status, diag):
        if status:
            text = self.text(diag) or "out of memory"
            raise _of_status.get(status, Error)(text)
        if self.diag_warnings(diag):
            warnings.warn(self.text(diag), Warning, stacklevel=4)


lib = Library()


def library_path() -> str:
    """The file of the shared library that is used."""
    return lib.path


def version() -> str:
    """The version of the shared library, "0.1.0"."""
    return lib.version().decode()


def path_bytes(path):
    return None if path is None else os.fsencode(path)


def text(value):
    """A name of the library as str; what is not UTF-8 in it survives os.fsencode."""
    return None if value is None else value.decode("utf-8", "surrogateescape")
