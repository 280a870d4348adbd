"""The only room that writes to the PKI directory: lock, stage, commit, recover.

A change is staged beside the tree, recorded, and only then renamed into place, so that a crash at any
instruction leaves the old tree or the new one (ARCHITECTURE.md, "How a change is committed").
"""

from pkigen.store.backups import BackupAction, BackupEntry, BackupInfo
from pkigen.store.files import FileContent
from pkigen.store.filesystem import DirectoryEntry, FileSystem, OsFileSystem
from pkigen.store.journal import Outcome, Recovery
from pkigen.store.lapses import Lapse, Lapsed
from pkigen.store.snapshot import Snapshot
from pkigen.store.store import Store
from pkigen.store.system_errors import MissingError, RefusedError, UnreadableError
from pkigen.store.transaction import Transaction

__all__ = [
    "BackupAction",
    "BackupEntry",
    "BackupInfo",
    "DirectoryEntry",
    "FileContent",
    "FileSystem",
    "Lapse",
    "Lapsed",
    "MissingError",
    "OsFileSystem",
    "Outcome",
    "Recovery",
    "RefusedError",
    "Snapshot",
    "Store",
    "Transaction",
    "UnreadableError",
]
