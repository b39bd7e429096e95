"""Every error that molvae raises on purpose. Imports nothing, so that everything may import it."""


class MolvaeError(Exception):
    """The root: catch this to catch whatever molvae has to say about a user's input or files."""


class InputError(MolvaeError, ValueError):
    """A value, option or file that cannot be used; the message names it, the rule, and the way out."""


class MoleculeError(InputError):
    """One molecule cannot be read or represented. Batches catch it and go on with the next row."""


class CheckpointError(MolvaeError):
    """A model directory that is missing, incomplete, damaged, or written by another version."""


class MissingExtraError(MolvaeError, ImportError):
    """An optional dependency is absent; the message names the extra that brings it."""


class MolvaeWarning(UserWarning):
    """Some rows could not be used, or fewer molecules were found than asked for; the rest was delivered."""
