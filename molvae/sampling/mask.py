"""A mask over the next symbol: what the grammar of SMILES allows after the symbols so far.

Parentheses and rings come in pairs, no atom has more bonds than it has room for, and every string can still end. What
is aromatic is beyond it: a string that it lets pass may have no Kekule structure.

The state is tensors of fixed shapes, written in place without a look at what is in them, so that a step can be captured
on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from molvae.chem.tokens import END_ID
from molvae.sampling.rules import CODES, IF_NEW, IF_OPEN, KINDS, START, Rules

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
