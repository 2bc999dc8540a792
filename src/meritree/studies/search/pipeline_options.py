"""What a machine-learning pipeline may be made of: stages, options, and the code of each.

An option is a snippet of Python; `source` joins one of each stage into a program. The search
knows only names; nothing is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["classification", "regression"]
Plan = tuple[str, ...]
"""Names of the options decided so far, one a stage; the stages after take their first option."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do a stage.

    Attributes:
        name: unique within its stage.
        family: alike options share it.
        lean: -1 makes simpler models, +1 richer ones, 0 neither.
        code: the snippet for classification.
        regression: the snippet for regression, where it differs.
    """

    name: str
    family: str
    lean: int
    code: str
    regression: str = ""

    def snippet(self, kind: Kind) -> str:
        """The code for one kind of task."""
        return (kind == "regression" and self.regression) or self.code


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the plan; its first option is what is done while nothing is decided."""

    name: str
    options: tuple[Option, ...]

    def option(self, name: str) -> Option:
        """The option of that name."""
        return next(option for option in self.options if option.name == name)


def _same(name: str, family: str, lean: int, code: str) -> Option:
    return Option(name, family, lean, code)


def _model(name: str, family: str, lean: int, classifier: str, regressor: str) -> Option:
    return Option(name, family, lean, f"model = {classifier}", f"model = {regressor}")


def _ensemble(name: str, lean: int, arguments: str) -> Option:
    made = f"model = Bagging{{}}(model, {arguments}, random_state=0)"
    return Option(name, "bagging", lean, made.format("Classifier"), made.format("Regressor"))


def _linear(strength: float) -> Option:
    return _model(
        f"linear {strength:g}",
        "linear",
        -1 if strength < 1 else 0 if strength == 1 else 1,
        f"LogisticRegression(C={strength:g}, max_iter=100)",
        f"Ridge(alpha={1 / strength:g})",
    )


def _svm(strength: float) -> Option:
    lean = -1 if strength < 1 else 0 if strength == 1 else 1
    return _model(f"svm {strength:g}", "svm", lean, f"SVC(C={strength:g})", f"SVR(C={strength:g})")


def _neighbours(k: int) -> Option:
    return _model(
        f"neighbours {k}",
        "neighbours",
        -1 if k > 5 else 0 if k == 5 else 1,
        f"KNeighborsClassifier({k})",
        f"KNeighborsRegressor({k})",
    )


def _tree(depth: int | None) -> Option:
    made = f"DecisionTree{{}}(max_depth={depth}, random_state=0)"
    lean = 1 if depth is None else -1 if depth < 5 else 0
    names = made.format("Classifier"), made.format("Regressor")
    return _model(f"tree {depth or 'deep'}", "tree", lean, *names)


PREPROCESSING = Stage(
    "preprocessing",
    (
        _same("as it is", "none", 0, "steps = []"),
        _same("standardise", "scale", 0, "steps = [StandardScaler()]"),
        _same("to unit range", "scale", 0, "steps = [MinMaxScaler()]"),
        _same("robust scale", "scale", 0, "steps = [RobustScaler()]"),
        _same(
            "robust and clipped",
            "clip",
            -1,
            "steps = [RobustScaler(), "
            "FunctionTransformer(np.clip, kw_args=dict(a_min=-2, a_max=2))]",
        ),
        _same(
            "to normal quantiles",
            "reshape",
            0,
            "steps = [QuantileTransformer(n_quantiles=50, output_distribution='normal')]",
        ),
        _same("power", "reshape", 0, "steps = [StandardScaler(), PowerTransformer()]"),
        _same(
            "five bins",
            "bins",
            -1,
            "steps = [KBinsDiscretizer(5, encode='ordinal', strategy='uniform')]",
        ),
        _same("unit rows", "rows", -1, "steps = [Normalizer()]"),
    ),
)

FEATURES = Stage(
    "features",
    (
        _same("all columns", "none", 0, "width = X.shape[1]"),
        _same("components, 80 %", "components", -1, "steps += [PCA(0.8, svd_solver='full')]"),
        _same("components, 95 %", "components", 0, "steps += [PCA(0.95, svd_solver='full')]"),
        _same(
            "best half",
            "select",
            -1,
            "steps += [SelectKBest(f_classif, k=max(1, X.shape[1] // 2))]",
        ),
        _same(
            "best quarter",
            "select",
            -1,
            "steps += [SelectKBest(f_classif, k=max(1, X.shape[1] // 4))]",
        ),
        _same(
            "products of components",
            "products",
            1,
            "steps += [PCA(min(6, X.shape[1])), PolynomialFeatures(2, include_bias=False)]",
        ),
        _same(
            "random kernel features",
            "kernel",
            1,
            "steps += [Nystroem(n_components=40, random_state=0)]",
        ),
        _same(
            "columns and components",
            "components",
            1,
            "steps += [make_union(FunctionTransformer(), PCA(3))]",
        ),
    ),
)

MODEL = Stage(
    "model",
    (
        _linear(1.0), _linear(0.01), _linear(100.0),
        _svm(1.0), _svm(0.1), _svm(10.0),
        _neighbours(5), _neighbours(1), _neighbours(25),
        _tree(5), _tree(2), _tree(None),
        _model(
            "forest", "forest", 1,
            "RandomForestClassifier(10, random_state=0)",
            "RandomForestRegressor(10, random_state=0)",
        ),
        _model(
            "random splits", "forest", 1,
            "ExtraTreesClassifier(10, random_state=0)",
            "ExtraTreesRegressor(10, random_state=0)",
        ),
        _model("bayes", "bayes", -1, "GaussianNB()", "BayesianRidge()"),
        _model(
            "shrunk", "discriminant", 0,
            "LinearDiscriminantAnalysis(solver='lsqr', shrinkage='auto')",
            "HuberRegressor()",
        ),
    ),
)  # fmt: skip

TRAINING = Stage(
    "training",
    (
        _same("one model", "none", 0, "pass"),
        _ensemble("bag of 5", 0, "5"),
        _ensemble("bag of 5 halves", -1, "5, max_samples=0.5"),
        _ensemble("5 with half the columns", -1, "5, max_features=0.5"),
        _ensemble("5 with half of both", -1, "5, max_samples=0.5, max_features=0.5"),
        _model(
            "boosted", "boosting", 1,
            "AdaBoostClassifier(model, n_estimators=5, random_state=0)",
            "AdaBoostRegressor(model, n_estimators=5, random_state=0)",
        ),
        _model(
            "stacked with a tree", "stacking", 1,
            "StackingClassifier([('a', model), ('b', DecisionTreeClassifier(max_depth=4, "
            "random_state=0))], LogisticRegression(), cv=2)",
            "StackingRegressor([('a', model), ('b', DecisionTreeRegressor(max_depth=4, "
            "random_state=0))], Ridge(), cv=2)",
        ),
        _model(
            "vote with neighbours", "voting", 0,
            "VotingClassifier([('a', model), ('b', KNeighborsClassifier(5))])",
            "VotingRegressor([('a', model), ('b', KNeighborsRegressor(5))])",
        ),
    ),
)  # fmt: skip

STAGES = (PREPROCESSING, FEATURES, MODEL, TRAINING)
"""What is decided, in this order, after a first stage that is the same for all: a look at the data
(the released search too begins at its second stage)."""

_HEAD = """\
import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoost{K}, Bagging{K}, ExtraTrees{K}, RandomForest{K}, Stacking{K}, Voting{K},
)
from sklearn.feature_selection import SelectKBest, {best}
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import BayesianRidge, HuberRegressor, LogisticRegression, Ridge
from sklearn.model_selection import cross_validate, {split}
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighbors{K}
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer, KBinsDiscretizer, MinMaxScaler, Normalizer, PolynomialFeatures,
    PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler,
)
from sklearn.svm import {svm}
from sklearn.tree import DecisionTree{K}

# stage: look at the data
rows, columns = X.shape
print(f"{{rows}} rows, {{columns}} columns, {{np.isnan(X).sum()}} values missing")
"""
_TAIL = """
# evaluation
found = cross_validate(
    make_pipeline(*steps, model), X, y, scoring={scoring!r}, return_train_score=True,
    cv={split}(3, shuffle=True, random_state=0), error_score="raise",
)
"""


def source(plan: Plan, kind: Kind) -> str:
    """The program of a plan: reads ``X`` and ``y``, leaves ``found`` (scores of three folds)."""
    regression = kind == "regression"
    words = {
        "K": "Regressor" if regression else "Classifier",
        "best": "f_regression as f_classif" if regression else "f_classif",
        "split": "KFold" if regression else "StratifiedKFold",
        "svm": "SVR" if regression else "SVC",
        "scoring": "neg_root_mean_squared_error" if regression else "accuracy",
    }
    parts = [_HEAD.format(**words)]
    for stage, option in zip(STAGES, options(plan), strict=True):
        parts.append(f"# stage: {stage.name}\n{option.snippet(kind)}\n")
    return "\n".join(parts) + _TAIL.format(**words)


def options(plan: Plan) -> Sequence[Option]:
    """One option a stage."""
    decided = [stage.option(name) for stage, name in zip(STAGES, plan, strict=False)]
    return [*decided, *(stage.options[0] for stage in STAGES[len(plan) :])]


def whole(plan: Plan) -> Plan:
    """The plan with every stage named: equal for plans of equal programs."""
    return tuple(option.name for option in options(plan))
