"""What the grammar of SMILES allows next, as one table over the few small numbers that it depends on.

What it forbids beyond the grammar, RDKit's canonical SMILES never have: a ring digit behind a branch, a bond symbol
where a ring opens, a ring that is open at a dot, an aromatic atom outside of any ring. And whatever it allows leaves a
way to the end: while a ring is open, some atom that can still be reached has room for one more bond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molvae.chem.grammar import MOST_ROOM, Class, Grammar, Kind

START, ATOM, RING, OPEN, CLOSE, BOND, FRESH = 0, 1, 2, 3, 4, 4, 7
"""What was written last; BOND + 1 to 3 is a bond of that order in a chain, FRESH + 1 to 3 one that begins a branch."""
PHASES = 11
KINDS = MOST_ROOM + 1
CODES = KINDS * len(Kind)
"""An atom, as the table knows it, is a number: the room that is left to it + KINDS * its kind."""
IF_NEW, IF_OPEN = 1, 2
"""A ring's digit has two bits: allowed where it would open a ring, and where it would close one."""

Table = NDArray[np.int64]
Truth = NDArray[np.bool_]


class Rules:
    """The tables of a vocabulary of V symbols.

    `follows` N x V, bits: what may come next; the N rows are those of `row`.
    `next_phase`, `spent` PHASES x V: where a symbol leads, and the order of the bond it makes to the atom before.
    `left` CODES x 4: what an atom is after a bond of order 0 to 3.
    `code`, `deeper`, `is_atom`, `is_ring` V: an atom's number, the step in depth, what a symbol is.
    `bears_late` CODES: whether a ring that opens at the atom may close with a double bond.
    """

    ROWS = (PHASES, CODES, 3, 3, 2)
    """Phase; the atom to bind to; depth 0, between, greatest; 0, 1, more rings open; room at an atom further back."""

    def __init__(self, grammar: Grammar) -> None:
        kind, room = np.divmod(np.arange(CODES), KINDS)
        order, aromatic = np.arange(4), kind >= Kind.AROMATIC
        cost = np.where(aromatic[:, None], order > 0, order)
        self.room, self.aromatic = room, aromatic
        self.bears: Truth = (cost <= room[:, None]) & (order <= np.array([3, 3, 2, 1])[kind][:, None])
        self.left: Table = (room[:, None] - cost).clip(0) + KINDS * kind[:, None]
        # canonical SMILES have a ring's bond symbol where it closes; the opening atom's room is not known any more then
        self.bears_late: Truth = (kind == Kind.HYPERVALENT) | (kind == Kind.AROMATIC)

        self.classes, self.order = grammar.classes, grammar.order
        self.is_atom, self.is_ring = grammar.classes == Class.ATOM, grammar.classes == Class.RING
        self.code: Table = grammar.room + KINDS * grammar.kind
        self.deeper: Table = 1 * (grammar.classes == Class.OPEN) - (grammar.classes == Class.CLOSE)
        self.bond = np.array([0, 1, 1, 1, 1, 1, 2, 3, 1, 2, 3])  # by phase, of the bond to what comes next
        self.in_branch = np.isin(np.arange(PHASES), (OPEN, FRESH + 1, FRESH + 2, FRESH + 3))
        self.next_phase = self._next_phase()
        self.spent: Table = np.where(self.is_atom | self.is_ring, self.bond[:, None], 0)
        self.follows = self._follows().reshape(-1, len(self.classes))

    def _next_phase(self) -> Table:
        after = np.array([ATOM, BOND, RING, OPEN, CLOSE, START, START, START])[self.classes] + self.order
        table = np.tile(after, (PHASES, 1))
        table[OPEN] += np.where(self.classes == Class.BOND, FRESH - BOND, 0)
        return table

    def _follows(self) -> NDArray[np.uint8]:
        phase, code, deep, rings, spare, symbol = np.ogrid[tuple(slice(n) for n in (*self.ROWS, len(self.classes)))]
        kind, order = self.classes[symbol], self.bond[phase]
        left = self.room[self.left[code, order]]  # at the atom before, after the bond to what comes next
        # an aromatic atom that is in no ring yet can only open one
        alone = (phase == ATOM) & self.aromatic[code] & (rings == 0)
        rests = np.isin(phase, (ATOM, RING, CLOSE)) & ~alone
        whole = rests & (deep == 0) & (rings == 0)
        fits = self.bears[code, order]

        new = self.room[self.left[self.code[symbol], order]]
        reach = new + np.where(self.in_branch[phase], left, 0) + spare
        goes_on = np.where(rings > 0, reach > 0, ~self.aromatic[self.code[symbol]] | (new > 1))
        atom = ~alone & fits & self.bears[self.code[symbol], order] & goes_on
        bond = (rests | (phase == OPEN)) & self.bears[code, self.order[symbol]]
        at_atom = (phase == ATOM) | (phase == RING)
        opens = at_atom & fits & (left + spare > 0)
        closes = (at_atom | np.isin(phase, (BOND + 1, BOND + 2))) & fits & ((rings < 2) | (left + spare > 0))

        cases = {
            Class.ATOM: atom, Class.BOND: bond, Class.OPEN: rests & (deep < 2) & self.bears[code, 1],
            Class.CLOSE: rests & (deep > 0) & ((rings == 0) | (spare > 0)), Class.DOT: whole, Class.END: whole,
            Class.RING: IF_NEW * opens + IF_OPEN * closes,
        }  # fmt: skip
        follows = np.zeros((*self.ROWS, len(self.classes)), np.uint8)
        for case, rule in cases.items():
            np.copyto(follows, np.asarray(rule, np.uint8), where=kind == case)
        return follows
