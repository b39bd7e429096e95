"""The reactions that ship: each makes its examples and finds their reactants, and the file is valid."""

import pytest
from rdkit import Chem

from molvae.synthesis.reactions import N_EXAMPLES, shipped_reactions

REACTIONS = shipped_reactions()
EXAMPLES = [(reaction.name, example) for reaction in REACTIONS.values() for example in reaction.examples]


def canonical(smiles):
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles))


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_example(name, example):
    """The forward template makes the product, with its stereo; the retro template finds the reactants."""
    reaction = REACTIONS[name]
    left, product = example.split(">>")
    reactants = [canonical(text) for text in left.split(".")]
    assert canonical(product) in reaction.products([Chem.MolFromSmiles(text) for text in reactants])
    mol = Chem.MolFromSmiles(product)
    assert tuple(reactants) in reaction.precursors(mol)
    assert reaction in REACTIONS.making(mol)


@pytest.mark.parametrize("name", REACTIONS)
def test_two_different_examples(name):
    products = {canonical(example.split(">>")[1]) for example in REACTIONS[name].examples}
    assert len(products) >= N_EXAMPLES
