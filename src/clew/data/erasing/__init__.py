"""Taking a person's rows and files out of every version that ever held them; the rest stays bit for bit."""

from clew.data.erasing.contents import Content, examine
from clew.data.erasing.files import FilesPlan, plan_files
from clew.data.erasing.finding import Found, find_rows
from clew.data.erasing.rewriting import Rewritten, rewrite
from clew.data.erasing.subjects import hash_of

__all__ = ["Content", "FilesPlan", "Found", "Rewritten", "examine", "find_rows", "hash_of", "plan_files", "rewrite"]
