"""What the grammar of SMILES allows next, as one table over the few small numbers that it depends on.

What it forbids beyond the grammar, RDKit's canonical SMILES never have: a ring digit behind a branch, a bond symbol
where a ring opens, a ring that is open at a dot, an aromatic atom outside of any ring. And whatever it allows leaves a
way to the end: while a ring is open, some atom that can still be reached has room for one more bond.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.grammar import MAX_VALENCE, AtomKind, Grammar, TokenClass
from molvae.chem.tokenizer import END_ID

START, ATOM, RING, OPEN, CLOSE, BOND, FRESH = 0, 1, 2, 3, 4, 4, 7
"""What was written last; BOND + 1 to 3 is a bond of that order in a chain, FRESH + 1 to 3 one that begins a branch."""
PHASES = 11
KINDS = MAX_VALENCE + 1
CODES = KINDS * len(AtomKind)
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
        order, aromatic = np.arange(4), kind >= AtomKind.AROMATIC
        cost = np.where(aromatic[:, None], order > 0, order)
        self.room, self.aromatic = room, aromatic
        self.bears: Truth = (cost <= room[:, None]) & (order <= np.array([3, 3, 2, 1])[kind][:, None])
        self.left: Table = (room[:, None] - cost).clip(0) + KINDS * kind[:, None]
        # canonical SMILES have a ring's bond symbol where it closes; the opening atom's room is not known any more then
        self.bears_late: Truth = (kind == AtomKind.HYPERVALENT) | (kind == AtomKind.AROMATIC)

        self.classes, self.order = grammar.token_class, grammar.bond_order
        self.is_atom, self.is_ring = grammar.token_class == TokenClass.ATOM, grammar.token_class == TokenClass.RING
        self.code: Table = grammar.valence + KINDS * grammar.atom_kind
        self.deeper: Table = 1 * (grammar.token_class == TokenClass.OPEN) - (grammar.token_class == TokenClass.CLOSE)
        self.bond = np.array([0, 1, 1, 1, 1, 1, 2, 3, 1, 2, 3])  # by phase, of the bond to what comes next
        self.in_branch = np.isin(np.arange(PHASES), (OPEN, FRESH + 1, FRESH + 2, FRESH + 3))
        self.next_phase = self._next_phase()
        self.spent: Table = np.where(self.is_atom | self.is_ring, self.bond[:, None], 0)
        self.follows = self._follows().reshape(-1, len(self.classes))

    def _next_phase(self) -> Table:
        after = np.array([ATOM, BOND, RING, OPEN, CLOSE, START, START, START])[self.classes] + self.order
        table = np.tile(after, (PHASES, 1))
        table[OPEN] += np.where(self.classes == TokenClass.BOND, FRESH - BOND, 0)
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
            TokenClass.ATOM: atom, TokenClass.BOND: bond, TokenClass.OPEN: rests & (deep < 2) & self.bears[code, 1],
            TokenClass.CLOSE: rests & (deep > 0) & ((rings == 0) | (spare > 0)), TokenClass.DOT: whole, TokenClass.END: whole,
            TokenClass.RING: IF_NEW * opens + IF_OPEN * closes,
        }  # fmt: skip
        follows = np.zeros((*self.ROWS, len(self.classes)), np.uint8)
        for case, rule in cases.items():
            np.copyto(follows, np.asarray(rule, np.uint8), where=kind == case)
        return follows


LEVELS = 32  # depth of parentheses, the chain outside of them included; drugs need 8


class RuleTensors:
    """The tables of `Rules` on a device; R of the V symbols are the digits of rings."""

    def __init__(self, rules: Rules, device: torch.device | str) -> None:
        def on_device(table: object) -> Tensor:
            return torch.as_tensor(table, device=device)

        digits = rules.is_ring.nonzero()[0]
        self.digits = on_device(digits)
        self.may_come = on_device(rules.follows & IF_NEW > 0)  # N x V
        self.may_close = on_device(rules.follows[:, digits] & IF_OPEN > 0)  # N x R
        self.column = on_device(rules.is_ring.cumsum() - 1).masked_fill_(~on_device(rules.is_ring), len(digits))
        self.next_phase, self.spent = on_device(rules.next_phase.ravel()), on_device(rules.spent.ravel())
        self.left, self.code = on_device(rules.left.ravel()), on_device(rules.code)
        self.deeper, self.is_atom = on_device(rules.deeper), on_device(rules.is_atom)
        self.bears_late, self.single = on_device(rules.bears_late), on_device(rules.bond < 2)
        self.in_branch = on_device(rules.in_branch * 1)


class GrammarMask:
    """The strings of S slots as the grammar sees them.

    Atoms are numbered in the order of writing. At each depth of parentheses stands the last one, as CODES * number +
    code; for each ring digit the atom that it was last opened at. A further column is for symbols that are no digit.
    """

    def __init__(self, tables: RuleTensors, slots: int) -> None:
        self.tables, device = tables, tables.digits.device
        self.phase, self.depth, self.number, self.parent = torch.zeros((4, slots), dtype=torch.long, device=device)
        self.levels = torch.arange(LEVELS, device=device)
        self.stack = torch.zeros((slots, LEVELS), dtype=torch.long, device=device)
        columns = (slots, len(tables.digits) + 1)
        self.opener = torch.full(columns, -1, device=device)
        self.open = torch.zeros(columns, dtype=torch.bool, device=device)
        self.late = torch.zeros(columns, dtype=torch.bool, device=device)  # may close with a double bond
        self.barred = torch.zeros(columns, dtype=torch.bool, device=device)  # opened, or joined already, at this atom

    def allowed(self) -> Tensor:
        """S x V; a string for which nothing else is left may end."""
        tables, (at, before) = self.tables, self._before()
        spare = ((self.stack % KINDS > 0) & (self.levels < at)).any(1)
        is_open = self.open[:, :-1]
        deep = (self.depth > 0).long() + (self.depth == LEVELS - 1)
        row = ((self.phase * CODES + before % CODES) * 3 + deep) * 3 + is_open.sum(1).clamp_(max=2)
        row = row * 2 + spare
        closable = (
            (self.opener != self.parent[:, None]) & ~self.barred & (self.late | tables.single[self.phase][:, None])
        )
        allowed = tables.may_come[row]
        closes = tables.may_close[row] & closable[:, :-1]
        allowed[:, tables.digits] = torch.where(is_open, closes, allowed[:, tables.digits])
        allowed[:, END_ID] |= ~allowed.any(1)
        return allowed

    def advance(self, symbols: Tensor) -> None:
        """Every string goes on by its symbol, S ids, allowed or not."""
        tables, (at, before) = self.tables, self._before()
        move = self.phase * len(tables.code) + symbols
        order, code = tables.spent[move], before % CODES
        self.stack.scatter_(1, at, (before - code + tables.left[code * 4 + order])[:, None])
        self.phase.copy_(tables.next_phase[move])
        self.depth.add_(tables.deeper[symbols]).clamp_(0, LEVELS - 1)
        self._atom(tables.is_atom[symbols], before // CODES, tables.left[tables.code[symbols] * 4 + order])
        self._ring(tables.column[symbols][:, None], tables.bears_late[code][:, None])

    def restart(self, slots: Tensor, due: Tensor) -> None:
        """Where `due` says so, another string begins in a slot; both are K long. Numbers of atoms go on counting."""
        self.phase[slots] = torch.where(due, START, self.phase[slots])
        self.depth[slots] = torch.where(due, 0, self.depth[slots])
        self.open[slots] &= ~due[:, None]

    def _before(self) -> tuple[Tensor, Tensor]:
        """The depth, S x 1, of the atom that the next one is bound to, and what stands there, S."""
        at = (self.depth - self.tables.in_branch[self.phase])[:, None]
        return at, self.stack.gather(1, at)[:, 0]

    def _atom(self, is_atom: Tensor, parent: Tensor, code: Tensor) -> None:
        """Takes its place, if the symbol was one."""
        self.number.add_(is_atom)
        self.parent.copy_(torch.where(is_atom, parent, self.parent))
        here = self.depth[:, None]
        old = self.stack.gather(1, here)
        self.stack.scatter_(1, here, torch.where(is_atom[:, None], (self.number * CODES + code)[:, None], old))
        self.barred &= ~is_atom[:, None]

    def _ring(self, column: Tensor, late: Tensor) -> None:
        """Opens or closes. A ring that was opened where this one was would bind the same two atoms: barred."""
        was_open, opener = self.open.gather(1, column), self.opener.gather(1, column)
        opener = torch.where(was_open, opener, self.number[:, None])
        self.opener.scatter_(1, column, opener)
        self.late.scatter_(1, column, torch.where(was_open, self.late.gather(1, column), late))
        self.open.scatter_(1, column, ~was_open)
        self.barred |= self.opener == opener
