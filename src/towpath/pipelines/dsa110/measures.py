"""Measures of raw subbands, for the rules of `qualify`. A file that cannot be read says where and why in the run's log."""

from towpath import Context, Many, measure


@measure(consumes={"subbands": Many("uvh5/subband", least=0)})
def n_unreadable(context: Context) -> int:
    """Subbands that are no whole UVH5 files."""
    from .science.uvh5 import SubbandError, check_subband  # optional: the science libraries are slow to load

    found = 0
    for path in context.inputs["subbands"]:
        try:
            check_subband(path)
        except SubbandError as error:
            found += 1
            context.log.error("%s", error)
    return found


MEASURES = (n_unreadable,)
