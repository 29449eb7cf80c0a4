"""Bytes by content id: in a folder, in S3, in memory."""

from clew.objects.base import ObjectInfo, ObjectStore, StoredObject
from clew.objects.filesystem import refuse_network_filesystem
from clew.objects.opening import open_store

__all__ = ["ObjectInfo", "ObjectStore", "StoredObject", "open_store", "refuse_network_filesystem"]
