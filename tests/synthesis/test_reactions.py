"""The reactions that ship: each makes its examples and finds their reactants, and the file is valid."""

import pytest
from rdkit import Chem

from molvae.errors import InputError
from molvae.synthesis.reactions import N_EXAMPLES, ReactionSet, shipped_reactions

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


# --- files of reactions ---

GOOD = """
[groups]
"acid" = "C(=O)[OH]"
[[reaction]]
name = "amide"
class = "acylation"
forward = "[C:1](=[O:2])[OH].[N;!H0:3]>>[C:1](=[O:2])[N:3]"
retro = "[C:1](=[O:2])-!@[N:3]>>[C:1](=[O:2])O.[N:3]"
reference = "a book"
incompatible = ["acid"]
"""


def load(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return ReactionSet.load(path)


def test_own_reactions(tmp_path):
    reactions = load(tmp_path, GOOD)
    assert list(reactions) == ["amide"]
    assert reactions["amide"].precursors(Chem.MolFromSmiles("CC(=O)NC")) == [("CC(=O)O", "CN")]
    assert list(reactions.making(Chem.MolFromSmiles("CC(=O)NCC(=O)O"))) == []  # the acid would react too


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (">>[C:1](=[O:2])[N:3]", ">>[C:1](=[O:2])[N:3", "reaction 'amide': cannot read 'forward'"),
        (">>[C:1](=[O:2])[N:3]", ">>[C:1](=[O:2])[N:3].[O:4]", "'amide': 'forward'"),
        (">>[C:1](=[O:2])O.[N:3]", ">>[C:1](=[O:2])O", "'retro' must go from one product to the 2 reactants"),
        ('name = "amide"', 'name = ""', "reaction number 1: 'name' is missing"),
        ('class = "acylation"', "", "'amide': 'class' is missing"),
        ('"acid"]', '"base"]', "'amide': the incompatible group 'base' is not in"),
        ('= "C(=O)[OH]"', '= "C(=O"', "group 'acid': cannot read SMARTS"),
        ('reference = "a book"', 'reference = "a book"\ncost = 9', "'cost' must be a number from 0.5 to 3, got 9"),
        ('reference = "a book"', 'reference = "a book"\ncolor = "red"', "unknown field 'color'"),
        ('reference = "a book"', "reference = 7", "'reference' is missing, or not a text"),
        ("[[reaction]]", "[[reactions]]", "no reactions; each begins with"),
        ("[groups]", "[groups", "cannot read the reactions"),
    ],
)
def test_bad_reaction_is_named(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InputError, match=r"own.toml") as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)


def test_two_reactions_with_one_name(tmp_path):
    with pytest.raises(InputError, match="two reactions with the name 'amide'"):
        load(tmp_path, GOOD + GOOD[GOOD.index("[[reaction]]") :])


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        ReactionSet.load(tmp_path / "none.toml")


def test_candidate_reactions_equal_a_search_with_every_template():
    """The fingerprint that excludes templates excludes none that matches."""
    for _, example in EXAMPLES[::3]:
        mol = Chem.MolFromSmiles(example.split(">>")[1])
        groups = REACTIONS.groups(mol)
        matching = [
            reaction for reaction in REACTIONS.values()
            if groups.isdisjoint(reaction.incompatible)
            and mol.HasSubstructMatch(Chem.MolFromSmarts(reaction.retro.split(">>")[0]))
        ]  # fmt: skip
        assert list(REACTIONS.making(mol)) == matching
