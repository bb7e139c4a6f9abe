"""LoRA profiles: the built-in ones as data, the user's own, and whether one suits a model. Nothing here knows torch or a plan."""

from lorasmith.profiles.custom import add, all_profiles, builtin, custom, get, remove
from lorasmith.profiles.match import Match, matches, names_that_exist, require_match, targeted
from lorasmith.profiles.profile import ALL_LINEAR, ATTENTION, Profile, as_yaml, make, read, write
from lorasmith.profiles.variants import VARIANT_NAMES, VARIANTS, Variant

__all__ = [
    "ALL_LINEAR",
    "ATTENTION",
    "VARIANTS",
    "VARIANT_NAMES",
    "Match",
    "Profile",
    "Variant",
    "add",
    "all_profiles",
    "as_yaml",
    "builtin",
    "custom",
    "get",
    "make",
    "matches",
    "names_that_exist",
    "read",
    "remove",
    "require_match",
    "targeted",
    "write",
]
