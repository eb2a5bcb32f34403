"""A DLPack producer made by hand: any device, type code, version and flags, and counts of what was released."""

import ctypes

import numpy as np


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class Managed(ctypes.Structure):
    _fields_ = [("dl_tensor", DLTensor), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class ManagedVersioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("dl_tensor", DLTensor)]


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Producer:
    """A tensor over a float32 NumPy array, exported as told."""

    def __init__(self, array, *, device=(1, 0), code=2, bits=32, lanes=1, versioned=True, major=1, flags=0, strides=True, offset=0):
        self.array, self.device, self.flags, self.versioned = array, device, flags, versioned
        self.live = self.exported = 0
        self.asked = None
        dims = ctypes.c_int64 * max(1, array.ndim)
        self.shape = dims(*array.shape)
        self.strides = dims(*(s // array.itemsize for s in array.strides))
        tensor = DLTensor(array.ctypes.data - offset, *device, array.ndim, code, bits, lanes, self.shape, self.strides if strides else None, offset)
        self.managed = ManagedVersioned(major, 0, None, None, flags, tensor) if versioned else Managed(tensor, None, None)
        self._name = b"dltensor_versioned" if versioned else b"dltensor"
        self._gone = _Destructor(self._release)

    def _release(self, _):
        self.live -= 1

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **words):
        if not self.versioned and "max_version" in words:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        self.asked = words
        self.live += 1
        self.exported += 1
        return _new(ctypes.addressof(self.managed), self._name, self._gone)


class Namespaced(Producer):
    """A producer whose library has from_dlpack, as those of the array API standard have."""

    def __array_namespace__(self):
        return np
