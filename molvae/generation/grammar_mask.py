"""Masks of the tokens that the grammar of SMILES allows next, looked up in one table of small integers.

Beyond the grammar, the mask forbids what canonical SMILES of RDKit never contain: a ring digit after a branch, a bond
symbol where a ring opens, a ring that is open at a dot, and an aromatic atom outside of a ring. After each
allowed token the SMILES can still be completed: while a ring is open, some atom that can still be reached has a free
valence.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.grammar import MAX_VALENCE, AtomKind, Grammar, TokenClass
from molvae.chem.tokenizer import END_ID

START, ATOM, RING, OPEN, CLOSE = range(5)
CHAIN_BOND = 4  # CHAIN_BOND + 1 to 3: a bond of this order in a chain
BRANCH_BOND = 7  # BRANCH_BOND + 1 to 3: a bond of this order at the start of a branch
N_PHASES = 11
"""The phase of a SMILES is the kind of its last token."""

N_VALENCES = MAX_VALENCE + 1
N_ATOM_STATES = N_VALENCES * len(AtomKind)
"""The state of an atom is a number: its free valence + N_VALENCES * its kind."""

MAY_OPEN, MAY_CLOSE = 1, 2
"""Bits of a ring digit: allowed if it opens a ring, and allowed if it closes one."""

MAX_DEPTH = 32  # nesting depth of branches, the main chain included; drugs need 8

IntTable = NDArray[np.int64]
BoolTable = NDArray[np.bool_]


class GrammarTables:
    """Tables for a vocabulary of V tokens.

    Attributes
    ----------
    allowed
        Bits of what may come next, shape (rows, V), uint8; the rows are the combinations in `ROW_SHAPE`.
    next_phase
        Phase after a token, shape (N_PHASES, V).
    bond_order
        Order of the bond that a token makes to the atom before it, shape (N_PHASES, V).
    after_bond
        State of an atom after a bond of order 0 to 3, shape (N_ATOM_STATES, 4).
    atom_state
        State of an atom token, shape (V,).
    depth_change
        Change of the branch depth by a token, shape (V,).
    is_atom, is_ring
        AtomKind of a token, shape (V,).
    closes_with_double
        Whether a ring that opens at an atom may close with a double bond, shape (N_ATOM_STATES,).
    """

    ROW_SHAPE = (N_PHASES, N_ATOM_STATES, 3, 3, 2)
    """Phase; state of the atom to bind to; depth 0, between or greatest; 0, 1 or more open rings; free valence at an
    earlier atom."""

    def __init__(self, grammar: Grammar) -> None:
        kind, valence = np.divmod(np.arange(N_ATOM_STATES), N_VALENCES)
        order, aromatic = np.arange(4), kind >= AtomKind.AROMATIC
        cost = np.where(aromatic[:, None], order > 0, order)
        self.free_valence, self.aromatic = valence, aromatic
        self.can_bond: BoolTable = (cost <= valence[:, None]) & (order <= np.array([3, 3, 2, 1])[kind][:, None])
        self.after_bond: IntTable = (valence[:, None] - cost).clip(0) + N_VALENCES * kind[:, None]
        # canonical SMILES have the bond symbol of a ring at its closure, when the valence of the opening atom is no
        # longer known
        self.closes_with_double: BoolTable = (kind == AtomKind.HYPERVALENT) | (kind == AtomKind.AROMATIC)

        self.classes, self.order = grammar.token_class, grammar.bond_order
        self.is_atom, self.is_ring = grammar.token_class == TokenClass.ATOM, grammar.token_class == TokenClass.RING
        self.atom_state: IntTable = grammar.valence + N_VALENCES * grammar.atom_kind
        self.depth_change: IntTable = 1 * (grammar.token_class == TokenClass.OPEN) - (
            grammar.token_class == TokenClass.CLOSE
        )
        self.phase_bond = np.array([0, 1, 1, 1, 1, 1, 2, 3, 1, 2, 3])  # order of the bond to the next atom, by phase
        branch_phases = (OPEN, BRANCH_BOND + 1, BRANCH_BOND + 2, BRANCH_BOND + 3)
        self.starts_branch = np.isin(np.arange(N_PHASES), branch_phases)
        self.next_phase = self._next_phase()
        self.bond_order: IntTable = np.where(self.is_atom | self.is_ring, self.phase_bond[:, None], 0)
        self.allowed = self._allowed().reshape(-1, len(self.classes))

    def _next_phase(self) -> IntTable:
        after = np.array([ATOM, CHAIN_BOND, RING, OPEN, CLOSE, START, START, START])[self.classes] + self.order
        table = np.tile(after, (N_PHASES, 1))
        table[OPEN] += np.where(self.classes == TokenClass.BOND, BRANCH_BOND - CHAIN_BOND, 0)
        return table

    def _allowed(self) -> NDArray[np.uint8]:
        phase, atom, depth, rings, earlier_valence, token = np.ogrid[
            tuple(slice(n) for n in (*self.ROW_SHAPE, len(self.classes)))
        ]
        token_class, order = self.classes[token], self.phase_bond[phase]
        remaining = self.free_valence[self.after_bond[atom, order]]  # of the previous atom, after the bond to the next
        # an aromatic atom that is not yet in a ring can only open one
        outside_ring = (phase == ATOM) & self.aromatic[atom] & (rings == 0)
        can_pause = np.isin(phase, (ATOM, RING, CLOSE)) & ~outside_ring
        complete = can_pause & (depth == 0) & (rings == 0)
        can_bind = self.can_bond[atom, order]

        new = self.free_valence[self.after_bond[self.atom_state[token], order]]
        reachable = new + np.where(self.starts_branch[phase], remaining, 0) + earlier_valence
        continues = np.where(rings > 0, reachable > 0, ~self.aromatic[self.atom_state[token]] | (new > 1))
        is_allowed_atom = ~outside_ring & can_bind & self.can_bond[self.atom_state[token], order] & continues
        is_allowed_bond = (can_pause | (phase == OPEN)) & self.can_bond[atom, self.order[token]]
        at_atom = (phase == ATOM) | (phase == RING)
        opens = at_atom & can_bind & (remaining + earlier_valence > 0)
        after_bond_symbol = np.isin(phase, (CHAIN_BOND + 1, CHAIN_BOND + 2))
        closes = (at_atom | after_bond_symbol) & can_bind & ((rings < 2) | (remaining + earlier_valence > 0))

        cases = {
            TokenClass.ATOM: is_allowed_atom,
            TokenClass.BOND: is_allowed_bond,
            TokenClass.OPEN: can_pause & (depth < 2) & self.can_bond[atom, 1],
            TokenClass.CLOSE: can_pause & (depth > 0) & ((rings == 0) | (earlier_valence > 0)),
            TokenClass.DOT: complete,
            TokenClass.END: complete,
            TokenClass.RING: MAY_OPEN * opens + MAY_CLOSE * closes,
        }
        allowed = np.zeros((*self.ROW_SHAPE, len(self.classes)), np.uint8)
        for case, rule in cases.items():
            np.copyto(allowed, np.asarray(rule, np.uint8), where=token_class == case)
        return allowed


class GrammarTensors:
    """`GrammarTables` on a device; R of the V tokens are ring digits."""

    def __init__(self, tables: GrammarTables, device: torch.device | str) -> None:
        def on_device(table: object) -> Tensor:
            return torch.as_tensor(table, device=device)

        digits = tables.is_ring.nonzero()[0]
        self.digits = on_device(digits)  # R
        self.allowed = on_device(tables.allowed & MAY_OPEN > 0)  # rows x V
        self.closable = on_device(tables.allowed[:, digits] & MAY_CLOSE > 0)  # rows x R
        # V: the column of a ring digit, R for other tokens
        self.column = on_device(tables.is_ring.cumsum() - 1).masked_fill_(~on_device(tables.is_ring), len(digits))
        self.next_phase, self.bond_order = on_device(tables.next_phase.ravel()), on_device(tables.bond_order.ravel())
        self.after_bond, self.atom_state = on_device(tables.after_bond.ravel()), on_device(tables.atom_state)
        self.depth_change, self.is_atom = on_device(tables.depth_change), on_device(tables.is_atom)
        self.closes_with_double = on_device(tables.closes_with_double)
        self.single_bond = on_device(tables.phase_bond < 2)
        self.starts_branch = on_device(tables.starts_branch * 1)


class GrammarMask:
    """The state of the grammar in S slots.

    Atoms are numbered in the order in which they are decoded. `stack` holds the last atom at each branch depth, as
    N_ATOM_STATES * number + state; `opener` the atom at which each ring digit was last opened. The additional column of
    the ring tables takes the updates by tokens that are not ring digits.
    """

    def __init__(self, tables: GrammarTensors, slots: int) -> None:
        self.tables, device = tables, tables.digits.device
        self.phase, self.depth, self.atom, self.parent = torch.zeros((4, slots), dtype=torch.long, device=device)
        self.levels = torch.arange(MAX_DEPTH, device=device)
        self.stack = torch.zeros((slots, MAX_DEPTH), dtype=torch.long, device=device)
        columns = (slots, len(tables.digits) + 1)
        self.opener = torch.full(columns, -1, device=device)
        self.open = torch.zeros(columns, dtype=torch.bool, device=device)
        self.closes_with_double = torch.zeros(columns, dtype=torch.bool, device=device)
        # rings that were opened at the current atom, or that would repeat one of its bonds
        self.banned = torch.zeros(columns, dtype=torch.bool, device=device)

    def allowed(self) -> Tensor:
        """Mask of the allowed tokens, shape (S, V); a slot without any other allowed token may end."""
        tables, (level, previous) = self.tables, self._previous_atom()
        earlier_valence = ((self.stack % N_VALENCES > 0) & (self.levels < level)).any(1)
        is_open = self.open[:, :-1]
        depth = (self.depth > 0).long() + (self.depth == MAX_DEPTH - 1)
        n_open = is_open.sum(1).clamp_(max=2)
        row = ((self.phase * N_ATOM_STATES + previous % N_ATOM_STATES) * 3 + depth) * 3 + n_open
        row = row * 2 + earlier_valence
        fitting_bond = self.closes_with_double | tables.single_bond[self.phase][:, None]
        closable = (self.opener != self.parent[:, None]) & ~self.banned & fitting_bond
        allowed = tables.allowed[row]
        closes = tables.closable[row] & closable[:, :-1]
        allowed[:, tables.digits] = torch.where(is_open, closes, allowed[:, tables.digits])
        allowed[:, END_ID] |= ~allowed.any(1)
        return allowed

    def advance(self, tokens: Tensor) -> None:
        """Append a token to the SMILES of each slot, shape (S,), whether it is allowed or not."""
        tables, (level, previous) = self.tables, self._previous_atom()
        index = self.phase * len(tables.atom_state) + tokens
        order, state = tables.bond_order[index], previous % N_ATOM_STATES
        self.stack.scatter_(1, level, (previous - state + tables.after_bond[state * 4 + order])[:, None])
        self.phase.copy_(tables.next_phase[index])
        self.depth.add_(tables.depth_change[tokens]).clamp_(0, MAX_DEPTH - 1)
        new_state = tables.after_bond[tables.atom_state[tokens] * 4 + order]
        self._add_atom(tables.is_atom[tokens], previous // N_ATOM_STATES, new_state)
        self._toggle_ring(tables.column[tokens][:, None], tables.closes_with_double[state][:, None])

    def restart(self, slots: Tensor, finished: Tensor) -> None:
        """Start a new SMILES in those of `slots` (K) that have `finished` (K). The numbering of atoms continues."""
        self.phase[slots] = torch.where(finished, START, self.phase[slots])
        self.depth[slots] = torch.where(finished, 0, self.depth[slots])
        self.open[slots] &= ~finished[:, None]

    def _previous_atom(self) -> tuple[Tensor, Tensor]:
        """The depth of the atom that the next one is bonded to, shape (S, 1), and its stack entry, shape (S,)."""
        level = (self.depth - self.tables.starts_branch[self.phase])[:, None]
        return level, self.stack.gather(1, level)[:, 0]

    def _add_atom(self, is_atom: Tensor, parent: Tensor, state: Tensor) -> None:
        """Put the atom on the stack in slots whose token is one."""
        self.atom.add_(is_atom)
        self.parent.copy_(torch.where(is_atom, parent, self.parent))
        level = self.depth[:, None]
        old = self.stack.gather(1, level)
        self.stack.scatter_(1, level, torch.where(is_atom[:, None], (self.atom * N_ATOM_STATES + state)[:, None], old))
        self.banned &= ~is_atom[:, None]

    def _toggle_ring(self, column: Tensor, closes_with_double: Tensor) -> None:
        """Open or close the ring of each slot's digit.

        Other rings that were opened at the same atom are banned: closing them here would bond the same two atoms again.
        """
        was_open, opener = self.open.gather(1, column), self.opener.gather(1, column)
        opener = torch.where(was_open, opener, self.atom[:, None])
        self.opener.scatter_(1, column, opener)
        old = self.closes_with_double.gather(1, column)
        self.closes_with_double.scatter_(1, column, torch.where(was_open, old, closes_with_double))
        self.open.scatter_(1, column, ~was_open)
        self.banned |= self.opener == opener
