"""lvt from Python: compile a model, run its entries on numpy arrays, read and write its state.

    import lvt
    p = lvt.compile("first.lvt", classes=10)          # or lvt.Program("first.lvtx")
    s = p.session(threads=2, seed=1)
    out = s.run("train_new", x=images, y=labels, mask=ones, lr=0.1)
    print(out["loss"], s.states["head.weight"])

Needs numpy and the shared library liblvt, no compiler. The library is looked for in the environment variable LVT_LIBRARY
(a file), where CMake installed it with this module, beside the module, and where the system finds libraries.

Errors are exceptions of the class lvt.Error with the library's own text; its warnings are Python warnings.
"""
from ._library import Error, FileError, Interrupted, OutOfMemory, UsageError, Warning, library_path, version
from .learner import Learner
from .program import Entry, Program, Session, Step, Tensor, compile
from .tensors import read_safetensors, write_safetensors

__version__ = "0.1.0"
__all__ = ["compile", "Program", "Session", "Learner", "Entry", "Tensor", "Step", "read_safetensors",
           "write_safetensors", "Error", "UsageError", "FileError", "OutOfMemory", "Interrupted", "Warning",
           "library_path", "version"]
