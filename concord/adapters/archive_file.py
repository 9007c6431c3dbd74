"""The archive as a directory tree: an object is either there, whole and on the disk, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Buffer, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from concord.adapters.archive_content import PIECE, check_read, checked_batch, checked_key, other_content, verified
from concord.errors import ArchiveDownError, ArchiveMissingError
from concord.ports import Blob, Stored
