"""Search over scikit-learn pipelines: states are pipelines half decided, the value is measured.

Each action decides the next stage; what is not decided yet has its default, so that every state
can be run and judged. Extra `studies` brings scikit-learn.
"""

import asyncio

from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer as RankTransform
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from meritree.run.ledger import Limits
from meritree.search.driver import Proposal, Step, search
from meritree.search.selectors import PUCT
from meritree.value import Cost, Estimate

STAGES = (
    {"as it is": "passthrough", "scaled": StandardScaler(), "ranks": RankTransform(n_quantiles=99)},
    {"all": "passthrough", "pca 5": PCA(5), "pca 12": PCA(12)},
    {"7 nearest": KNeighborsClassifier(7), "25 nearest": KNeighborsClassifier(25),
     "svm": SVC(), "svm C=10": SVC(C=10), "logistic": LogisticRegression(max_iter=200)},
)  # fmt: skip
X, y = load_breast_cancer(return_X_y=True)


def pipeline(state):
    default = [next(iter(stage)) for stage in STAGES]
    names = (*state, *default[len(state) :])
    return make_pipeline(*(stage[name] for stage, name in zip(STAGES, names, strict=True)))


class Pipelines:
    def root(self):
        return Step(())

    async def step(self, state, action):
        return Step((*state, action), terminal=len(state) + 1 == len(STAGES))

    async def propose(self, view, k):
        names = list(STAGES[view.depth])[len(view.proposed) :][:k]
        return [Proposal(name, 1 / len(STAGES[view.depth])) for name in names]

    async def __call__(self, step):
        scores = cross_val_score(pipeline(step.state), X[::2], y[::2], cv=3)
        return Estimate(scores.mean(), scores.std(), n=3, cost=Cost(evaluations=1))


world = Pipelines()
found = asyncio.run(
    search(world, world, world, selector=PUCT(c=0.3), budget=Limits(evaluations=30))
)
for node in sorted(found.tree.nodes, key=lambda node: -node.own)[:5]:
    print(f"{node.own:.3f} +- {node.estimate.std:.3f}  {' > '.join(found.states[node.id]) or '-'}")
fresh = pipeline(found.best).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
print(f"{len(found.tree)} of 58 states judged; on the rows kept back the best has {fresh:.3f}")
