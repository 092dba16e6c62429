"""Looks at how an output of quantum chemistry ends: with the closing words of its program, with an error, or not.

Promises to read the file once, in pieces, with bounded memory. cclib notes the closing words of any job in a file; here
those of the last job count, so that a file which stops in its second job is not taken for a whole one.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .text_encoding import open_bytes

PIECE, OVERLAP = 4 << 20, 512  # bytes read at once, and of the piece before that are looked at again


@dataclass(frozen=True, slots=True)
class Marks:
    """What a program prints where a job begins, where it ends well, and where it fails (with what that means).

    `converged` is what it prints where an SCF converged: one that failed before that did not end the job.
    """

    closing: str
    begin: tuple[bytes, ...]
    end: tuple[bytes, ...]
    errors: tuple[tuple[bytes, str], ...]
    converged: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a file ends.

    `whole` where the last job has its closing words, which `closing` gives (a checkpoint has none); `error` is what
    the program said of itself in plain words, or empty; `scf_failed` where it went on after an SCF that did not
    converge, `scf_mended` where a later one of the job did; `lines` counts lines.
    """

    whole: bool
    closing: str
    error: str = ""
    scf_failed: bool = False
    lines: int = 0
    scf_mended: bool = False


SCF_FAILED = "the SCF did not converge"
STEPS_USED_UP = "the optimisation used up its steps"
MARKS = {
    "gaussian": Marks(
        "Normal termination of Gaussian",
        (b" Entering Gaussian System", b" Entering Link 1 =", b"Link1:  Proceeding to internal job step"),
        (b" Normal termination of Gaussian",),
        (
            (b"Convergence failure -- run terminated.", SCF_FAILED),
            (b" -- Number of steps exceeded", STEPS_USED_UP),
            (b"Erroneous write", "the disk was full"),
            (b" Error termination", "with an error"),
        ),
    ),
    "orca": Marks(
        "ORCA TERMINATED NORMALLY",
        (b"* O   R   C   A *",),
        (b"****ORCA TERMINATED NORMALLY****", b"TOTAL RUN TIME:"),
        (
            (b"SCF NOT CONVERGED AFTER", SCF_FAILED),
            (b"ORCA finished by error termination", "with an error"),
            (b"ABORTING THE RUN", "with an error"),
        ),
        (b"SCF CONVERGED AFTER",),
    ),
    "psi4": Marks(
        "Psi4 exiting successfully",
        (b"Psi4: An Open-Source Ab Initio",),
        (b"*** Psi4 exiting successfully",),
        (
            (b"Could not converge SCF iterations", SCF_FAILED),
            (b"Could not converge geometry optimization", STEPS_USED_UP),
            (b"*** Psi4 encountered an error", "with an error"),
        ),
        (b"Energy and wave function converged",),
    ),
    "nwchem": Marks(
        "Total times  cpu",
        (b"Northwest Computational Chemistry Package (NWChem)",),
        (b" Total times  cpu:",),
        (
            (b"Calculation failed to converge", SCF_FAILED),
            (b" Failed to converge in maximum number of steps", STEPS_USED_UP),
            (b" There is an error in the input file", "with an error in its input"),
            (b" There is an error in the specified basis set", "with an error in its basis set"),
            (b"For further details see manual section", "with an error"),
        ),
    ),
    "qchem": Marks(
        "Thank you very much for using Q-Chem",
        (b"Welcome to Q-Chem", b"\nUser input:"),
        (b"Thank you very much for using Q-Chem", b" Total job time:"),
        (
            (b"SCF failed to converge", SCF_FAILED),
            (b"MAXIMUM OPTIMIZATION CYCLES REACHED", STEPS_USED_UP),
            (b"Q-Chem fatal error occurred", "with an error"),
        ),
    ),
    "mopac": Marks(
        "MOPAC DONE",
        # Of MOPAC 2009 to 2016, and of 22 on, and what all of them print below it.
        (
            b"** Site#:",
            b"** Cite this program as: MOPAC",
            b"**                              MOPAC v",
            b" CALCULATION RESULTS",
        ),
        (b"== MOPAC DONE ==",),
        (
            (b"FAILED TO ACHIEVE SCF", SCF_FAILED),
            (b"EXCESS NUMBER OF OPTIMIZATION CYCLES", STEPS_USED_UP),
        ),
    ),
}
BLOCK = re.compile(rb"^.{40} {3}([IRCLH]) {3}N= *(\d+)\s*$")
PER_LINE = {b"I": 6, b"R": 5, b"C": 5, b"H": 9, b"L": 72}


def look_at_ending(path: Path, program: str) -> Ending:
    """Look how a file ends.

    Parameters
    ----------
    path
        Of an output or of a formatted checkpoint.
    program
        As `sniff_quantum` names it.
    """
    return _ending_of_checkpoint(path) if program == "fchk" else _ending_of_output(path, MARKS[program])


def _ending_of_output(path: Path, marks: Marks) -> Ending:
    """Find the last place of every mark; an error counts where it stands in the last job."""
    words = [*marks.begin, *marks.end, *marks.converged, *(mark for mark, _ in marks.errors)]
    last, lines = _last_places(path, words)
    begin = max((last[mark] for mark in marks.begin), default=-1)
    whole = max(last[mark] for mark in marks.end) > begin
    converged = max((last[mark] for mark in marks.converged), default=-1)
    failed = [(meaning, last[mark]) for mark, meaning in marks.errors if last[mark] > begin]
    mended = [at for meaning, at in failed if meaning == SCF_FAILED and at < converged]
    told = [meaning for meaning, at in failed if at not in mended]
    scf_failed = SCF_FAILED in told
    return Ending(whole, marks.closing, told[0] if told else "", scf_failed, lines, bool(mended))


def _last_places(path: Path, words: list[bytes]) -> tuple[dict[bytes, int], int]:
    """Where each of some words stands last in a file (-1: nowhere), and the number of lines."""
    last, lines, start, kept = dict.fromkeys(words, -1), 0, 0, b""
    with open_bytes(path) as stream:
        while piece := stream.read(PIECE):
            lines += piece.count(b"\n")
            seen = kept + piece
            for word in words:
                at = seen.rfind(word)
                if at >= 0:
                    last[word] = start - len(kept) + at
            start += len(piece)
            kept = seen[-OVERLAP:]
    return last, lines + (bool(kept) and not kept.endswith(b"\n"))


def _ending_of_checkpoint(path: Path) -> Ending:
    """A formatted checkpoint has no closing words: its last array must have all its lines."""
    missing, lines, line = 0, 0, b"\n"
    with open_bytes(path) as stream:
        while line_read := stream.readline(PIECE):
            line = line_read
            lines += 1
            block = BLOCK.match(line)
            if block:
                missing = -(-int(block[2]) // PER_LINE[block[1]])
            else:
                missing = max(0, missing - 1)
    return Ending(missing == 0 and line.endswith(b"\n"), "", lines=lines)
