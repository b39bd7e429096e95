"""The `Generator`: a loaded model with methods that take SMILES or latents and return pandas tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint
from molvae.chem.graph import MolGraph
from molvae.chem.standardization import identity_or_none
from molvae.chem.tokenizer import PAD_ID
from molvae.data.arguments import as_smiles_iterable, with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.errors import InputError, MoleculeError
from molvae.generation.analogs import SearchOptions
from molvae.generation.codec import Codec
from molvae.generation.interruption import AnalogsInterrupted
from molvae.generation.options import ANALOG_PROPERTIES, AnalogOptions, AnalogTask, Progress, ScoresLike
from molvae.generation.presets import with_preset
from molvae.generation.runner import AnalogRunner, concatenate_tables, sample_table
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.devices import find_device
from molvae.nn.inference import map_batches
from molvae.nn.latents import project_to_sphere
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.nn.priors import Prior
from molvae.viz.progress import progress_bar


class Generator:
    """A trained model that generates, encodes and decodes molecules.

    All methods take SMILES (one string or an iterable) or latents and return a pandas DataFrame. An invalid row never
    stops the others. Methods that return one row per input row report it in an `error` column, and keep the index of a
    pandas input; the others report it in `frame.attrs["errors"]` (SMILES to reason) and with a `MolvaeWarning`.

    Parameters
    ----------
    checkpoint
        The model and its data, as returned by `molvae.checkpoint.load`.
    device
        The torch device to run on.
    precision
        Number format of the decoder's matrix products: "32", "bf16", "int8" (CPU only), or "auto", the fastest that
        the device supports. Molecules are reproducible for the same `random_state`, device and precision.

    Examples
    --------
    >>> from molvae import Generator
    >>> generator = Generator.load("druglike", device="cpu")
    >>> table = generator.analogs("CC(=O)Nc1ccc(O)cc1", n=10, random_state=1)
    >>> list(table.columns)
    ['seed', 'id', 'smiles', 'similarity', 'log_likelihood', 'qed', 'sa', 'logp', 'mw', 'not_in_training']
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu", precision: str = "auto") -> None:
        self.device = torch.device(device)
        checkpoint.model.to(self.device).eval()
        if checkpoint.prior is not None:
            checkpoint.prior.to(self.device)
        self.checkpoint, self.codec = checkpoint, Codec.from_checkpoint(checkpoint, precision)
        self.model, self.vocabulary = self.codec.model, self.codec.vocabulary

    def __repr__(self) -> str:
        config, prior = self.checkpoint.config, self.checkpoint.prior
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return (
            f"Generator(name={self.checkpoint.name!r}, encoder={config.encoder!r}, latent={config.latent!r}, "
            f"latent_dim={config.latent_dim}, decoder={config.decoder!r}, parameters={parameters:,}, "
            f"learned_prior={prior.config.kind if prior else None!r}, device={str(self.device)!r})"
        )

    @classmethod
    @checked_arguments
    def load(cls, model: str | Path = "druglike", device: str = "auto", precision: str = "auto") -> Self:
        """Load a shipped model by name, or a model directory by path.

        Parameters
        ----------
        model
            Name of a shipped model ("druglike", "druglike-ae", "moses") or path of a model directory.
        device
            "cpu", "cuda", "cuda:1", ..., or "auto": a GPU if there is one, else the CPU.
        precision
            As in `Generator`.

        Raises
        ------
        CheckpointError
            If there is no such model, or a file of it is missing or damaged.
        InputError
            If the device does not exist, or does not support the precision.
        """
        chosen = find_device(device)
        return cls(checkpoints.load(model, chosen), chosen, precision)

    @checked_arguments
    def analogs(
        self,
        seeds: str | Iterable[str],
        n: int = 100,
        *,
        preset: str | None = None,
        pool_size: int = 0,
        similarity: str | float | tuple[float, float] | None = None,
        noise_level: float | None = None,
        samples_per_latent: int = 1,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        filters: str | Sequence[str] = (),
        include_smarts: str | Sequence[str] = (),
        exclude_smarts: str | Sequence[str] = (),
        core: str | None = None,
        keep_scaffold: bool = False,
        change_scaffold: bool = False,
        allow_unprecedented: bool = False,
        precedence: str | Path | None = None,
        allow_isomers: bool = False,
        any_stereo: bool = False,
        alerts: str | Sequence[str] = (),
        exclude_training_set: bool = False,
        makeable: bool = False,
        project: bool = False,
        by_synthesis: bool = False,
        stock: str | Path | None = None,
        max_steps: int = 4,
        rank_by: str | None = None,
        scores: ScoresLike = None,
        n_diverse: int = 0,
        properties: str | Sequence[str] = ANALOG_PROPERTIES,
        optimize_latents: bool = True,
        standardize: bool = False,
        keep_salts: bool = False,
        random_state: int = 0,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Generate distinct valid analogs of each seed, the most similar first.

        Latents are drawn around the latent of the seed and decoded until `n` molecules satisfy all conditions, or
        `max_samples` samples have been decoded. For each seed, the noise level, the temperature and the branching
        strategy adapt to the requested similarity.

        Parameters
        ----------
        seeds
            SMILES of the seed molecules.
        n
            Number of distinct valid molecules per seed; the seed itself does not count.
        preset
            Options for a purpose: "close" (similarity 0.65 or more, no new alert), "explore" (similarity 0.35 to 0.65,
            no new alert, as they are found) or "scaffold-hop" (another scaffold, similarity 0.3 to 0.65, no new alert).
            Options that are not left at their defaults take precedence.
        pool_size
            Number of molecules to find around each seed before the best `n` of them are returned: the first by
            `rank_by`, else those closest to a `similarity` that is a number, else the most similar ones. A larger `n`
            then starts with the same molecules. 0: 100, or what 1,000 samples give (no pool for a fixed `noise_level`
            without `rank_by`, whose molecules are a sample). A `pool_size` of at most `n` returns the first `n`
            molecules found.
        similarity
            Tanimoto similarity to the seed (Morgan fingerprints, radius 2, 2048 bits). A number such as 0.6 is the
            median of the analogs (if there are too few on one side of it, a warning tells the median reached); a range
            such as (0.5, 0.7) or "0.5:0.7" bounds each of them. Default: 0.4 or more; if these are too few, the most
            similar of the other molecules follow.
        noise_level
            Fixed noise level instead of a similarity, 0 to 1: 0 samples the posterior of the seed, 1 the prior.
        samples_per_latent
            Number of samples that are decoded from each latent.
        temperature
            Sampling temperature: below 1 favors likely tokens, 0 is greedy. Default: the temperature of the model.
        top_k
            Sample from the `top_k` most likely tokens only; 0 disables it.
        top_p
            Nucleus sampling: sample from the smallest set of most likely tokens with this total probability.
        grammar
            Mask tokens that the grammar of SMILES does not allow. More samples are valid; each takes longer, and the
            samples that this repairs are rarely similar to the seed.
        max_samples
            Maximum number of samples per seed; 0: 50 per requested molecule, at least 1,000.
        filters
            Conditions on properties or `scores`, all of which must hold, such as "mw<500", "logp 1:4" or "pIC50>6".
        include_smarts, exclude_smarts
            SMARTS patterns, all of which must, or none of which may, occur.
        core
            SMILES of a core with `*` at each open position, such as "*c1ccc(C(N)=O)cc1". All other atoms of the core
            keep their neighbors; samples branch from the seed at its substituents. Several fragments are separated by
            a dot. A seed that lacks the core is an error of that seed.
        keep_scaffold
            Return only molecules with the Bemis-Murcko scaffold of the seed.
        change_scaffold
            Return only molecules with another Bemis-Murcko scaffold than the seed.
        allow_unprecedented
            Return molecules with a ring system or an atom environment (radius 1) that neither real molecules nor the
            seed have, or with an unstable group that the seed does not have. By default they are dropped.
        precedence
            File of a precedence table (`molvae precedence build`) instead of the one that ships with the package.
        allow_isomers
            Return isomers of the seed and of each other: stereoisomers, tautomers, protonation states and
            isotopologues. By default one of them is returned, and none of the seed.
        any_stereo
            Return stereocenters as they are sampled. By default those whose surroundings are the same as in the seed
            get the configuration that they have in the seed.
        alerts
            Sets of structural alerts ("pains", "brenk", "nih", "unstable" and others of `molvae.chem.filters.alerts`).
            A molecule is dropped if it has an alert that the seed lacks.
        exclude_training_set
            Drop molecules of the training set.
        makeable
            Return only molecules with a route of synthesis from building blocks. The columns `n_steps`,
            `building_blocks` and `route` are added; `rank_by` and `filters` can name `n_steps`.
        project
            With `makeable`: replace each molecule without a route by the most similar one that its disconnections give
            with building blocks of the stock. Such molecules have no log-likelihood.
        by_synthesis
            Make the analogs by exchanging the building blocks of the seed's routes for similar ones of the stock,
            instead of sampling the decoder: each has a route, and no log-likelihood.
        stock
            Building blocks, as for `molvae.routes`; the columns of `makeable` are added for any stock.
        max_steps
            Reactions of a route, those of all branches: 1 to 10.
        rank_by
            Weighted sum of columns to sort by, descending, instead of the similarity: "qed", "-sa",
            "similarity - 0.2*sa".
        scores
            Scoring functions by column name: each takes a list of SMILES and returns one number per SMILES, or takes
            one RDKit molecule. A function in a file is given as "FILE.py:FUNCTION". `filters` and `rank_by` can name
            the scores.
        n_diverse
            Select this many diverse molecules (MaxMin) from the best 3 * `n_diverse`; 0 returns all. If `similarity`
            is a number, half of them are above and half below it.
        properties
            Property columns to compute; `()` for none.
        optimize_latents
            Optimize the latent of a seed that the decoder does not reconstruct until it does. Samples are then closer
            to the seed, and more of them are valid.
        standardize
            Clean up functional groups and metals of the seeds with RDKit's MolStandardize first.
        keep_salts
            Keep salts and solvents, which few models can represent; otherwise the largest fragment of a seed is used.
        random_state
            Seed of the random numbers: the same value gives the same molecules.
        workers
            Number of worker processes. Default: one per core, none for few molecules; 0: none. On a CPU the workers
            share the seeds; on a GPU they parse the samples.
        progress
            Callback that receives the number of molecules found so far.

        Returns
        -------
        pandas.DataFrame
            Columns `seed`, `id` (`seed1_a01` for the first analog of the first seed), `smiles` (canonical),
            `similarity`, `log_likelihood` (nats, of the sample given its latent), `properties`, `not_in_training` (None
            if the model has no record of its training set), other properties and scores that `filters`, `rank_by` and
            `scores` name, and `rank`.

            `attrs["errors"]` maps invalid seeds to the reason, `attrs["notes"]` changed seeds to what was changed, such
            as "salt removed: Cl". `attrs["statistics"]` has a dict per valid seed: `seed`, `requested`, `found`,
            `in_range` (found within the similarity range), `median` (of the similarities), `samples`, `valid`,
            `rejected` (number of molecules by filter), `unbalanced` (molecules without a counterpart on the other side
            of the target median), and the estimated `samples_needed` (None: none of the last samples was accepted).
            `attrs["summary"]` has the same as a sentence per seed.

        Raises
        ------
        InputError
            If an option is invalid, or options contradict each other.
        AnalogsInterrupted
            On Ctrl+C; a `KeyboardInterrupt` whose `frame` is the table of the analogs found so far.

        See Also
        --------
        iter_analogs : The same as a stream, for many seeds.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> table = generator.analogs("CC(=O)Nc1ccc(O)cc1", n=20, similarity="0.4:0.8", filters=["mw<250"])
        >>> bool(table["similarity"].between(0.4, 0.8).all() and (table["mw"] < 250).all())
        True
        >>> table.attrs["statistics"][0]["found"]
        20
        """
        options = AnalogOptions(
            n=n,
            preset=preset,
            pool_size=pool_size,
            similarity=similarity,
            noise_level=noise_level,
            samples_per_latent=samples_per_latent,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            grammar=grammar,
            max_samples=max_samples,
            filters=filters,
            include_smarts=include_smarts,
            exclude_smarts=exclude_smarts,
            core=core,
            keep_scaffold=keep_scaffold,
            change_scaffold=change_scaffold,
            allow_unprecedented=allow_unprecedented,
            precedence=precedence,
            allow_isomers=allow_isomers,
            any_stereo=any_stereo,
            alerts=alerts,
            exclude_training_set=exclude_training_set,
            makeable=makeable,
            project=project,
            by_synthesis=by_synthesis,
            stock=stock,
            max_steps=max_steps,
            rank_by=rank_by,
            scores=scores,
            n_diverse=n_diverse,
            properties=properties,
            optimize_latents=optimize_latents,
            standardize=standardize,
            keep_salts=keep_salts,
            random_state=random_state,
        )
        runner, smiles = self.analog_runner(options), list(as_smiles_iterable(seeds))
        with progress_bar(n * len(smiles), "molecules", progress) as advance:
            tables = list[pd.DataFrame]()
            try:
                for table in runner.tables(smiles, workers, advance):
                    tables.append(table)
            except AnalogsInterrupted as error:
                frame = concatenate_tables([*tables, error.frame], runner.task.columns)
                raise AnalogsInterrupted(frame) from None
        return concatenate_tables(tables, runner.task.columns)

    @checked_arguments
    def iter_analogs(
        self,
        seeds: str | Iterable[str],
        n: int = 100,
        *,
        preset: str | None = None,
        pool_size: int = 0,
        similarity: str | float | tuple[float, float] | None = None,
        noise_level: float | None = None,
        samples_per_latent: int = 1,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        filters: str | Sequence[str] = (),
        include_smarts: str | Sequence[str] = (),
        exclude_smarts: str | Sequence[str] = (),
        core: str | None = None,
        keep_scaffold: bool = False,
        change_scaffold: bool = False,
        allow_unprecedented: bool = False,
        precedence: str | Path | None = None,
        allow_isomers: bool = False,
        any_stereo: bool = False,
        alerts: str | Sequence[str] = (),
        exclude_training_set: bool = False,
        makeable: bool = False,
        project: bool = False,
        by_synthesis: bool = False,
        stock: str | Path | None = None,
        max_steps: int = 4,
        rank_by: str | None = None,
        scores: ScoresLike = None,
        n_diverse: int = 0,
        properties: str | Sequence[str] = ANALOG_PROPERTIES,
        optimize_latents: bool = True,
        standardize: bool = False,
        keep_salts: bool = False,
        random_state: int = 0,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Generate analogs of many seeds as a stream of tables, in constant memory.

        Parameters
        ----------
        seeds
            SMILES of the seed molecules, read as they are needed.
        n, similarity, ..., progress
            As in `analogs`. They are validated before the first seed is read.

        Yields
        ------
        pandas.DataFrame
            A table as of `analogs` for every few seeds, in order. In addition, `attrs["seeds"]` lists the seeds that
            the table covers, invalid ones included, and `attrs["rows_per_seed"]` their numbers of rows.

        Raises
        ------
        InputError
            If an option is invalid, or options contradict each other.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> for table in generator.iter_analogs(["CCO", "CCN"], n=5):
        ...     print(table.attrs["seeds"], table.attrs["rows_per_seed"])
        ['CCO', 'CCN'] [5, 5]
        """
        options = AnalogOptions(
            n=n,
            preset=preset,
            pool_size=pool_size,
            similarity=similarity,
            noise_level=noise_level,
            samples_per_latent=samples_per_latent,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            grammar=grammar,
            max_samples=max_samples,
            filters=filters,
            include_smarts=include_smarts,
            exclude_smarts=exclude_smarts,
            core=core,
            keep_scaffold=keep_scaffold,
            change_scaffold=change_scaffold,
            allow_unprecedented=allow_unprecedented,
            precedence=precedence,
            allow_isomers=allow_isomers,
            any_stereo=any_stereo,
            alerts=alerts,
            exclude_training_set=exclude_training_set,
            makeable=makeable,
            project=project,
            by_synthesis=by_synthesis,
            stock=stock,
            max_steps=max_steps,
            rank_by=rank_by,
            scores=scores,
            n_diverse=n_diverse,
            properties=properties,
            optimize_latents=optimize_latents,
            standardize=standardize,
            keep_salts=keep_salts,
            random_state=random_state,
        )
        return self.analog_runner(options).tables(as_smiles_iterable(seeds), workers, progress)

    def analog_runner(self, options: AnalogOptions) -> AnalogRunner:
        """The runner of `analogs`, which checks the options. Raises `InputError` for an invalid one."""
        training_filter = self.checkpoint.training_filter
        task = AnalogTask.from_options(
            with_preset(options), temperature=self.checkpoint.defaults.temperature, training_filter=training_filter
        )
        return AnalogRunner(self.codec, task, training_filter)

    @checked_arguments
    def sample(
        self,
        n: int = 100,
        *,
        prior: str = "auto",
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        random_state: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Generate distinct valid molecules from the prior, in the order in which they were sampled.

        Parameters
        ----------
        n
            Number of distinct valid molecules.
        prior
            "unit": the standard normal distribution (on a sphere: the uniform one); "learned": the prior fitted to the
            latents of the training set; "auto": the learned prior if the model has one.
        temperature, top_k, top_p, grammar, max_samples, random_state, progress
            As in `analogs`.

        Returns
        -------
        pandas.DataFrame
            Columns `smiles`, `log_likelihood` (nats), `qed`, `sa`, `logp`, `mw` and `not_in_training`. `attrs` as in
            `analogs`.

        Raises
        ------
        InputError
            If an option is invalid, or the model has no learned prior and `prior` is "learned".

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> len(generator.sample(20, random_state=4))
        20
        """
        source = self.prior(prior)
        if temperature is None:
            temperature = self.checkpoint.defaults.temperature
        options = SearchOptions(
            n_molecules=n,
            noise_level=source.noise_level,
            max_samples=max_samples,
            sampling=SamplingOptions(temperature, top_k, top_p, grammar),
            random_state=random_state,
        )
        with progress_bar(n, "molecules", progress) as advance:
            return sample_table(self.codec, source, options, self.checkpoint.training_filter, progress=advance)

    @checked_arguments
    def encode(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        keep_salts: bool = False,
        optimize_latents: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Encode molecules: one row of latents per input row.

        Parameters
        ----------
        smiles
            SMILES of the molecules.
        standardize
            Clean up functional groups and metals with RDKit's MolStandardize first.
        keep_salts
            Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.
        optimize_latents
            Optimize each latent by gradient descent until the decoder reconstructs its molecule.
        progress
            Callback that receives the number of molecules encoded so far.

        Returns
        -------
        pandas.DataFrame
            Columns `smiles` (as passed), `error` ("" for a valid molecule), `note` (what was changed before encoding,
            such as "salt removed: Cl"; "" if nothing), and `z0`, `z1`, ...: the mean of the posterior q(z|x), NaN in
            rows with an error.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> latents = generator.encode(["CCO", "not a molecule"])
        >>> latents.shape, (latents["error"] == "").tolist()
        ((2, 131), [True, False])
        """
        texts = list(as_smiles_iterable(smiles))
        graphs = self.codec.featurize(texts, standardize=standardize, keep_salts=keep_salts)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        z = np.full((len(texts), self.checkpoint.config.latent_dim), np.nan, dtype=np.float32)
        valid = np.array([isinstance(g, MolGraph) for g in graphs], dtype=bool)
        if usable:
            with progress_bar(len(usable), "molecules", progress) as advance:
                posterior = self.codec.encode(usable, optimize_latents=optimize_latents, progress=advance)
            z[valid] = posterior.mean.cpu().numpy()
        columns = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
        texts_and_errors = {"smiles": texts, "error": _errors(graphs), "note": _notes(graphs)}
        frame = pd.concat([pd.DataFrame(texts_and_errors, dtype=object), columns], axis=1)
        return with_index_of(frame, smiles)

    @checked_arguments
    def decode(
        self,
        latents: NDArray[Any] | pd.DataFrame,
        *,
        noise_level: float | Sequence[float] | NDArray[Any] = 0.0,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        random_state: int | Sequence[int] | NDArray[Any] = 0,
        branch_from: Sequence[str] | None = None,
        inversion_steps: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Decode latents: one molecule per row, greedily by default.

        Parameters
        ----------
        latents
            Array of shape (N, D), or a table with columns `z0`, `z1`, ... as returned by `encode`. For a model with a
            spherical latent space they are first projected onto the sphere.
        noise_level
            Noise level of the latents, 0 to 1, that the decoder is conditioned on: one number, or one per latent. The
            higher it is, the more a noise-conditioned decoder relies on what molecules look like in general.
        temperature, top_k, top_p, grammar
            As in `analogs`; temperature 0 is greedy.
        random_state
            Seed of the random numbers: one number, or one per latent. With one per latent, a sample depends on its
            own row only.
        branch_from
            One SMILES per latent to branch from, or "" for none. The sample has the tokens of this SMILES up to a
            random atom, a different token there, and is decoded freely after it. This yields close analogs, because
            near the latent of a molecule almost every free sample is that molecule.
        inversion_steps
            Maximum number of latent inversion steps; 0 disables it. Each step encodes the decoded molecules and moves
            the latent against the difference, until a molecule encodes to the latent itself. The molecule with the
            nearest latent is returned. In addition to the greedy sample, others are drawn at `temperature` or, if
            that is 0, at 1.2. 32 steps take about 20 times as long as plain decoding.
        progress
            Callback that receives the number of latents decoded so far.

        Returns
        -------
        pandas.DataFrame
            Columns `smiles` (canonical, "" if the sample is not a valid molecule), `log_likelihood` (nats) and `error`
            (which then quotes the sample). With `inversion_steps` also `distance`: root mean square difference between
            `latents` and the latent of the molecule, in standard deviations of the latent space. Rows with numbers
            that are not finite have the error "latent is not finite".

        Raises
        ------
        InputError
            If `latents` has the wrong width or is not numeric, an option is invalid, or both `branch_from` and
            `inversion_steps` are passed.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> generator.decode(generator.encode(["OCc1ccccc1O"]))["smiles"].tolist()
        ['OCc1ccccc1O']
        """
        z = _latent_array(latents, self.checkpoint.config.latent_dim)
        usable: NDArray[np.bool_] = np.asarray(np.isfinite(z).all(1))
        points = torch.from_numpy(z[usable])
        points = project_to_sphere(points) if self.model.latent.spherical else points
        noise_levels = _number_or_array("noise_level", noise_level, np.float32, usable)
        if not np.all((noise_levels >= 0) & (noise_levels <= 1)):
            raise InputError(f"noise_level must be between 0 and 1, got {noise_level}")
        random_states = _number_or_array("random_state", random_state, np.int64, usable)
        if branch_from is not None:
            if len(branch_from) != len(z):
                raise InputError(
                    f"branch_from needs one SMILES per latent: {len(z)} latents, {len(branch_from)} SMILES"
                )
            branch_from = [branch_from[row] for row in np.flatnonzero(usable).tolist()]
        options = SamplingOptions(temperature, top_k, top_p, grammar)
        frame = pd.DataFrame(
            {"smiles": "", "log_likelihood": np.nan, "error": "latent is not finite"}, index=range(len(z))
        )
        if steps := _checked_inversion_steps(inversion_steps):
            if branch_from is not None:
                raise InputError(
                    "pass either inversion_steps or branch_from, not both: inversion would replace the branched samples"
                )
            with progress_bar(len(points), "latents", progress) as advance:
                found = self.codec.invert(
                    points,
                    options,
                    inversion_steps=steps,
                    noise_level=noise_levels,
                    random_state=random_states,
                    progress=advance,
                )
            samples, log_likelihood = found.samples, found.log_likelihood
            frame.insert(2, "distance", np.nan)
            frame.loc[usable, "distance"] = found.distance.astype(float)
        else:
            with progress_bar(len(points), "latents", progress) as advance:
                decoded = self.codec.decode(
                    points,
                    options,
                    noise_level=noise_levels,
                    random_state=random_states,
                    branch_from=branch_from,
                    progress=advance,
                )
            samples, log_likelihood = decoded.to_smiles(self.vocabulary), decoded.log_likelihood
        canonical = {sample: identity_or_none(sample) for sample in set(samples)}
        molecules = [canonical[sample] for sample in samples]
        frame.loc[usable, "smiles"] = [molecule or "" for molecule in molecules]
        frame.loc[usable, "log_likelihood"] = log_likelihood.astype(float)
        frame.loc[usable, "error"] = [_sample_error(*pair) for pair in zip(samples, molecules, strict=True)]
        return with_index_of(frame, latents if isinstance(latents, pd.DataFrame) else None)

    @checked_arguments
    def reconstruct(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        keep_salts: bool = False,
        optimize_latents: bool = False,
        inversion_steps: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Encode molecules and decode them greedily: one row per input row.

        Parameters
        ----------
        smiles
            SMILES of the molecules.
        standardize, keep_salts, optimize_latents
            As in `encode`. Optimization uses the molecule that is to be reconstructed.
        inversion_steps
            As in `decode`. Latent inversion uses the latent only.
        progress
            Callback that receives the number of molecules decoded so far.

        Returns
        -------
        pandas.DataFrame
            Columns `smiles` (as passed), `reconstruction` (canonical SMILES, "" if there is none), `exact` (whether it
            is the input, see "Identity and standardization"), `error` (of the input, or of the decoded sample), and
            `note` (what was changed before encoding; "" if nothing).
            `attrs["n_invalid"]` is the number of invalid input rows.

        Raises
        ------
        InputError
            If `inversion_steps` is invalid, or is combined with `optimize_latents`: an optimized latent is not the
            latent that the encoder assigns to the molecule.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> generator.reconstruct(["OCc1ccccc1O"])["exact"].tolist()
        [True]
        """
        texts = list(as_smiles_iterable(smiles))
        graphs = self.codec.featurize(texts, standardize=standardize, keep_salts=keep_salts)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        decoded: list[str] = []
        steps = _checked_inversion_steps(inversion_steps)
        if steps and optimize_latents:
            raise InputError(
                "pass either optimize_latents or inversion_steps, not both: inversion needs the latent of the encoder"
            )
        if usable:
            z = self.codec.encode(usable, optimize_latents=optimize_latents).mean
            with progress_bar(len(usable), "molecules", progress) as advance:
                decoded = self.codec.reconstruct(z, inversion_steps=steps, progress=advance)
        samples = iter(decoded)
        rows = []
        for graph in graphs:
            if isinstance(graph, MolGraph):
                sample = next(samples)
                molecule = identity_or_none(sample)
                rows.append((molecule or "", molecule == graph.smiles, _sample_error(sample, molecule)))
            else:
                rows.append(("", False, str(graph)))
        frame = pd.DataFrame(rows, columns=["reconstruction", "exact", "error"])
        frame["note"] = _object_column(_notes(graphs))
        frame.insert(0, "smiles", _object_column(texts))
        frame.attrs["n_invalid"] = len(texts) - len(usable)
        return with_index_of(frame, smiles)

    @checked_arguments
    @torch.inference_mode()
    def likelihood(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        keep_salts: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Log-likelihood of molecules under the model: one row per input row.

        Parameters
        ----------
        smiles
            SMILES of the molecules.
        standardize
            Clean up functional groups and metals with RDKit's MolStandardize first.
        keep_salts
            Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.
        progress
            Callback that receives the number of molecules finished so far.

        Returns
        -------
        pandas.DataFrame
            Columns `smiles` (as passed), `log_likelihood` (log p(x|z) in nats, of the canonical SMILES x given the
            mean z of its own posterior), `n_tokens` (tokens of x, the end token included), `error` and `note`.

        Examples
        --------
        >>> from molvae import Generator
        >>> generator = Generator.load("druglike", device="cpu")
        >>> generator.likelihood(["CCO"])["n_tokens"].tolist()
        [4]
        """
        texts = list(as_smiles_iterable(smiles))
        graphs = self.codec.featurize(texts, standardize=standardize, keep_salts=keep_salts)
        valid = [isinstance(graph, MolGraph) for graph in graphs]
        packed = PackedGraphs.from_graphs([g for g in graphs if isinstance(g, MolGraph)], self.vocabulary)

        def likelihood_and_length(batch: GraphBatch) -> NDArray[np.float32]:
            noise_level = torch.zeros(batch.size, device=self.device)
            log_likelihood = self.model.log_likelihood(self.model.encode(batch).mean, noise_level, batch.tokens)
            return torch.stack([log_likelihood, (batch.tokens != PAD_ID).sum(1)], dim=1).cpu().numpy()  # B x 2

        with progress_bar(len(packed), "molecules", progress) as advance:
            parts = [np.empty((0, 2), np.float32), *map_batches(likelihood_and_length, packed, self.model, advance)]
        frame = pd.DataFrame({"smiles": _object_column(texts), "log_likelihood": np.nan, "n_tokens": 0})
        frame.loc[valid, "log_likelihood"], frame.loc[valid, "n_tokens"] = np.concatenate(parts).astype(float).T
        frame["error"], frame["note"] = _errors(graphs), _notes(graphs)
        return with_index_of(frame, smiles)

    def likelihood_reference(self, smiles: str | Iterable[str]) -> LikelihoodReference:
        """The distribution of the log-likelihood per token over reference molecules, for `molvae.explore.anomaly`.

        Parameters
        ----------
        smiles
            SMILES of some thousand reference molecules, such as a sample of the training set.

        Raises
        ------
        InputError
            If fewer than 20 of the molecules can be encoded.
        """
        known = np.asarray(log_likelihood_per_token(self.likelihood(smiles)), dtype=np.float64)
        return LikelihoodReference.from_log_likelihoods(self.checkpoint.name, self.model, known)

    def prior(self, name: str = "auto") -> Prior:
        """The prior that `sample` draws from; `name` is its parameter `prior`. Raises `InputError` if there is none."""
        learned = self.checkpoint.prior
        if name not in ("auto", "unit", "learned"):
            raise InputError(f"prior must be 'auto', 'unit' or 'learned', got {name!r}")
        if name == "learned" and learned is None:
            raise InputError(
                f"the model {self.checkpoint.name!r} has no learned prior: fit one with `molvae fit-prior`, "
                "or pass prior='unit'"
            )
        return self.model.prior() if learned is None or name == "unit" else learned


def log_likelihood_per_token(likelihood: pd.DataFrame) -> pd.Series[float]:
    """Log-likelihood per token, in nats, of a table returned by `Generator.likelihood`."""
    return likelihood["log_likelihood"] / likelihood["n_tokens"].clip(lower=1)


def _object_column(values: list[Any]) -> pd.Series[Any]:
    """Input values as a column of Python objects: pandas' string type rejects some values that are not valid text."""
    return pd.Series(values, dtype=object)


def _errors(graphs: Sequence[MolGraph | MoleculeError]) -> list[str]:
    """Why a molecule cannot be used; "" for a graph."""
    return ["" if isinstance(graph, MolGraph) else str(graph) for graph in graphs]


def _notes(graphs: Sequence[MolGraph | MoleculeError]) -> list[str]:
    """How molecules differ from the input; "" for those that do not, and for errors."""
    return [graph.note if isinstance(graph, MolGraph) else "" for graph in graphs]


def _sample_error(sample: str, molecule: str | None) -> str:
    """What is wrong with a decoded sample; "" for a valid molecule."""
    if molecule:
        return ""
    return f"not a molecule: {sample!r}" if sample else "longer than the maximum length of the model"


def _checked_inversion_steps(inversion_steps: int) -> int:
    if not isinstance(inversion_steps, int | np.integer) or inversion_steps < 0:
        raise InputError(f"inversion_steps must be a whole number of 0 or more, got {inversion_steps}")
    return int(inversion_steps)


def _number_or_array(name: str, values: object, dtype: type[np.generic], usable: NDArray[np.bool_]) -> Any:
    """One number for all latents, or the numbers of the `usable` latents from an array-like with one per latent."""
    try:
        array = np.asarray(values)
        exact = array.astype(dtype, casting="same_kind")
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be a number or one number per latent, got {values!r:.60}: {error}") from None
    if array.shape == ():
        return exact[()].item()
    if array.shape != usable.shape:
        raise InputError(f"{name} must be a number or one per latent ({len(usable)}), got an array of {array.shape}")
    return exact[usable]


def _latent_array(latents: NDArray[Any] | pd.DataFrame, size: int) -> NDArray[np.float32]:
    """Latents as an array of shape (N, size)."""
    if isinstance(latents, pd.DataFrame):
        columns = [f"z{i}" for i in range(size)]
        missing = [c for c in columns if c not in latents.columns]
        if missing:
            raise InputError(f"a table of latents needs columns z0 to z{size - 1}: {missing[0]} is missing")
        latents = latents[columns].to_numpy()
    try:
        z = np.atleast_2d(np.asarray(latents, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"latents must be numeric: {error}") from None
    if z.ndim != 2 or z.shape[1] != size:
        raise InputError(f"latents must have shape (N, {size}) for this model, got {z.shape}")
    return z
