"""The exceptions of attend: each is also the built-in exception that its code stands for."""


class Error(Exception):
    """Any refusal or failure of attend. `code` is the contract's word for it."""

    code = ""


class InvalidArgumentError(Error, ValueError):
    """The tensors or keywords contradict each other."""

    code = "invalid_argument"


class UnsupportedError(Error, NotImplementedError):
    """A legal call that no kernel takes; the message has every kernel's reason."""

    code = "unsupported"


class BackendUnavailableError(Error, RuntimeError):
    """The backend is not built, not found, or has no device."""

    code = "backend_unavailable"


class DeviceError(Error, RuntimeError):
    """A driver, launch or copy failure, with the vendor's text."""

    code = "device_error"


class NoMetadataError(Error, RuntimeError):
    """Attention metadata was asked for outside of any scope."""

    code = "no_metadata"


class OutOfRangeError(Error, IndexError):
    """An index, length or page id lies outside of its tensor."""

    code = "out_of_range"


class OutOfMemoryError(Error, MemoryError):
    """Scratch or output memory is not to be had."""

    code = "out_of_memory"


BY_CODE = {kind.code: kind for kind in Error.__subclasses__()}
for _kind in (Error, *BY_CODE.values()):
    _kind.__module__ = "attend"
