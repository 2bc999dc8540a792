"""From the rows of a step to optimizer steps: advantages once, then losses over minibatches.

The formulas are `meritree.objectives`'; what was drawn and what it is worth is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from meritree.align._torch import Module, Tensor, torch
from meritree.align.critic import response_values
from meritree.align.data import Dataset
from meritree.align.forward import POLICY_KEYS, REF_KEYS, Rows, policy_keys, rows_of
from meritree.align.loop import Diverged, Learner, Measures
from meritree.align.prompts import Prompts
from meritree.align.rollout import Rollout
from meritree.align.sources import Sources, add_to, frozen_copy
from meritree.errors import BadInput
from meritree.objectives.divergences import k3
from meritree.objectives.extras import ValueMse
from meritree.objectives.rows import KEYS, agg

if TYPE_CHECKING:
    from meritree.align.rlvr import RLVR

_GIVEN = frozenset({"old_logp", "mask", "reward", "label", "length", "aspects"})
_LOSS_ONLY = frozenset({"advantage"}) | (POLICY_KEYS - {"score"}) | {"ref_dist"}


class Updates:
    """Optimizer steps of a run; see `meritree.align.rlvr.fit_rlvr` for the arguments."""

    def __init__(
        self,
        policy: Module,
        ref: Module | None,
        critic: Module | None,
        learners: Mapping[str, Learner],
        method: RLVR,
        beside: Sources,
        accumulate: int,
        temperature: float,
        max_norm: float | None,
        seed: int,
    ) -> None:
        self.policy, self.critic, self.learners = policy, critic, learners
        self.method, self.beside, self.accumulate = method, beside, accumulate
        self.temperature, self.max_norm, self.seed = temperature, max_norm, seed
        self.device = next(policy.parameters()).device
        loss = [method.surrogate, *(term for _, term in method.extras)]
        self.loss_needs = frozenset().union(*(part.needs for part in loss if part is not None))
        before = (*method.shapes, method.advantage)
        self.early_needs = frozenset().union(*(part.needs for part in before))
        wanted = self.loss_needs | self.early_needs | ({"ref_logp"} if method.kl else set())
        self.ref_needs = wanted & REF_KEYS
        self.ref = ref
        if self.ref_needs and ref is None and not hasattr(policy, "disable_adapter"):
            self.ref = frozen_copy(policy)

    def take(self, step: int, rollout: Rollout, *, critic_only: bool) -> Measures:
        """Take the optimizer steps of these rows.

        Raises:
            Diverged: a loss or gradient is not finite.
        """
        method, size = self.method, self.method.size
        units = torch.arange(rollout.data.size)
        rows = rows_of(rollout.data, units, self.device)
        parts = method.epochs * method.minibatches * self.accumulate
        fresh: dict[str, Tensor] | None = None
        if parts == 1 and not critic_only:  # drawn and trained policy are one: one pass for both
            self.policy.train()
            fresh = self._policy_keys(rows)
        frozen = self._frozen(rollout, rows, fresh, critic_only=critic_only)
        reward = frozen["reward"]
        for shape in method.shapes:
            reward = shape(reward, frozen, size)
        flat = _flat(reward, size)
        if method.kl and method.kl_in == "reward":
            penalty = method.kl * (frozen["old_logp"] - frozen["ref_logp"]) * rows.mask
            frozen["token_reward"] = -penalty
            if not method.advantage.by_token:
                reward = reward - penalty.sum(-1)
        advantage, returns = method.advantage(reward, frozen, size)
        frozen["advantage"] = advantage.detach()
        if returns is not None:
            frozen["value_target_sg"] = returns.detach()
        if method.skip_flat:
            units = units[~flat.cpu()]
        sums: dict[str, Tensor] = {}
        count = 0
        for epoch in range(method.epochs):
            for chosen in self._minibatches(units, step, epoch):
                turn = (step - 1) * method.epochs * method.minibatches + count + 1
                self._optimize(turn, step, chosen, rollout.data, frozen, fresh, sums,
                               critic_only=critic_only)  # fmt: skip
                count += 1
        rate = self.learners["policy"].rate

        def measured() -> dict[str, float]:
            found = {name: float(x) / max(count, 1) for name, x in sums.items()}
            more = _told(rollout, rows, reward, frozen, flat)
            return found | more | {"learning rate": rate}

        return measured

    def _minibatches(self, units: Tensor, step: int, epoch: int) -> list[Tensor]:
        number = self.method.minibatches
        if not len(units):
            return []
        if number == 1:
            return [units]
        where = (self.seed * 1_000_003 + step) * 1009 + epoch
        generator = torch.Generator().manual_seed(where % (1 << 62))
        order = torch.randperm(len(units), generator=generator)
        return [units[part] for part in order.tensor_split(number) if len(part)]

    def _optimize(
        self, turn: int, step: int, chosen: Tensor, data: Dataset, frozen: dict[str, Tensor],
        fresh: dict[str, Tensor] | None, sums: dict[str, Tensor], *, critic_only: bool,
    ) -> None:  # fmt: skip
        """One optimizer step of each learner on these rows."""
        for name, each in self.learners.items():
            each.optimizer.zero_grad(set_to_none=True)
            each.model.train(not (critic_only and name == "policy"))
        mask = frozen["loss_mask"][chosen.to(self.device)]
        whole = float(mask.sum()), len(chosen)
        for part in chosen.tensor_split(self.accumulate):
            if not len(part):
                continue
            rows = rows_of(data, part, self.device)
            here = _rows(frozen, part.to(self.device), rows.tokens.shape[1])
            share = len(part) / whole[1]
            if not critic_only:
                keys = (
                    _rows(fresh, part.to(self.device), rows.tokens.shape[1])
                    if fresh is not None
                    else self._policy_keys(rows)
                )
                loss = self._loss(rows, here | keys, whole, share, sums)
                self._backward(step, loss, "loss", sums)
            if "critic" in self.learners and "value_target_sg" in here:
                b = {"values": response_values(self.critic, rows), "mask": rows.mask}
                loss = ValueMse()(b | {"value_target_sg": here["value_target_sg"]}).mean() * share
                self._backward(step, loss, "critic loss", sums)
        if not critic_only:
            if self.beside.sources:
                for name, value in self.beside.backward(turn).items():
                    add_to(sums, f"beside: {name}", value)
            norm = self.learners["policy"].step(f"step {step}", self.max_norm)
            add_to(sums, "gradient norm", torch.tensor(norm))
        if "critic" in self.learners:
            self.learners["critic"].step(f"step {step}, critic", self.max_norm)

    def _backward(self, step: int, loss: Tensor, name: str, sums: dict[str, Tensor]) -> None:
        if not bool(torch.isfinite(loss)):
            raise Diverged(
                f"step {step}: the {name} is not finite; the models are as before this optimizer "
                "step: lower the learning rate or look at the loss's exponents"
            )
        loss.backward()
        add_to(sums, name, loss.detach())

    def _loss(
        self, rows: Rows, b: dict[str, Tensor], whole: tuple[float, int], share: float,
        sums: dict[str, Tensor],
    ) -> Tensor:  # fmt: skip
        method, mask = self.method, b["loss_mask"]
        if "ref_dist" in self.loss_needs:
            b = b | {"ref_dist": self._reference(rows, frozenset({"dist"}))["dist"]}
        b = b | {"mask": mask}
        b.setdefault("old_logp", b["logp"].detach())
        tokens = torch.zeros_like(b["logp"])
        if method.surrogate is not None:
            tokens = tokens + method.surrogate({k: b[k] for k in method.surrogate.needs})
        if method.kl and method.kl_in == "loss":
            apart = method.divergence(b["logp"], b["ref_logp"])
            add_to(sums, "divergence", (_token_mean(apart.detach(), mask) * share))
            tokens = tokens + method.kl * apart
        # The parts of a minibatch add up to its loss, whatever their lengths.
        weight = float(mask.sum()) / max(whole[0], 1.0) if method.agg == "token" else share
        loss = agg(tokens, mask, method.agg, method.const) * weight
        for coef, term in method.extras:
            loss = loss + coef * term({k: b[k] for k in term.needs}).mean() * share
        self._watch(b, mask, share, sums)
        return loss

    def _watch(
        self, b: dict[str, Tensor], mask: Tensor, share: float, sums: dict[str, Tensor]
    ) -> None:
        """Measures of the policy over the tokens of a part."""
        logp = b["logp"].detach()
        far = ((logp - b["old_logp"]).exp() - 1.0).abs().gt(0.2).float()
        add_to(sums, "ratio above 1.2 or below 0.8", _token_mean(far, mask) * share)
        add_to(sums, "entropy", _token_mean(-logp, mask) * share)
        if "ref_logp" in b:
            add_to(sums, "KL to the reference", _token_mean(k3(logp, b["ref_logp"]), mask) * share)

    def _policy_keys(self, rows: Rows) -> dict[str, Tensor]:
        needs = (self.loss_needs & POLICY_KEYS) | {"logp"}
        return policy_keys(self.policy, rows, needs, self.temperature)

    def _reference(self, rows: Rows, needs: frozenset[str]) -> dict[str, Tensor]:
        model = self.policy if self.ref is None else self.ref
        plain = model.disable_adapter() if self.ref is None else nullcontext()
        mode = model.training
        model.eval()
        with torch.no_grad(), plain:
            found = policy_keys(model, rows, needs, self.temperature)
        model.train(mode)
        return found

    def _frozen(
        self, rollout: Rollout, rows: Rows, fresh: dict[str, Tensor] | None, *, critic_only: bool
    ) -> dict[str, Tensor]:
        """Everything that no gradient goes through, of all rows: [B], [B, T] or [B, K]."""
        method = self.method
        penalised = bool(method.kl) and method.kl_in == "reward"
        # With one optimizer step the policy that drew is the one in the loss: see `_loss`.
        several = method.epochs * method.minibatches > 1
        found: dict[str, Tensor] = {"mask": rows.mask}
        if fresh is not None:
            found["old_logp"] = fresh["logp"].detach()
        elif "old_logp" in self.early_needs or penalised or (several and not critic_only):
            found["old_logp"] = self._in_parts(rollout, rows, "old_logp")
        if "ref_logp" in self.ref_needs:
            found["ref_logp"] = self._in_parts(rollout, rows, "ref_logp")
        if self.critic is not None:
            found["values_sg"] = self._in_parts(rollout, rows, "values_sg")
        like = torch.float32
        found |= {k: x.to(self.device) for k, x in rollout.data.columns.items()}
        found["reward"] = rollout.reward.to(self.device)
        found["label"] = (found["reward"] > 0.0).to(torch.int64)
        found["length"] = rows.mask.sum(-1).to(like)
        if rollout.aspects is not None:
            found["aspects"] = rollout.aspects.to(self.device)
        counts = rows.mask
        if method.drop_unended:
            counts = counts & rollout.ended.to(self.device)[:, None]
        found["loss_mask"] = counts.to(like)
        return found

    def _in_parts(self, rollout: Rollout, rows: Rows, name: str) -> Tensor:
        """A key of all rows, asked in as many passes as an optimizer step takes."""
        width, size = rows.tokens.shape[1], rollout.data.size
        passes = self.method.minibatches * self.accumulate
        self.policy.eval()
        if self.critic is not None:
            self.critic.eval()
        found = []
        for units in torch.arange(size).tensor_split(passes):
            if not len(units):
                continue
            part = rows if passes == 1 else rows_of(rollout.data, units, self.device)
            with torch.no_grad():
                if name == "values_sg":
                    x = response_values(self.critic, part)
                elif name == "ref_logp":
                    x = self._reference(part, frozenset({"logp"}))["logp"]
                else:
                    needs = frozenset({"logp"})
                    x = policy_keys(self.policy, part, needs, self.temperature)["logp"]
            found.append(torch.nn.functional.pad(x, [0, width - x.shape[1]]))
        return torch.cat(found)


def check_needs(method: RLVR, data: Prompts, has_critic: bool) -> None:
    """Whether somebody gives every key that the method's parts read.

    Raises:
        BadInput: names the part and the key.
    """
    early = _GIVEN | data.columns.keys() | method.mix.gives | {"ref_logp"}
    early |= {"values_sg"} if has_critic else set()
    for part in (*method.shapes, method.advantage):
        _check_part(part, early)
    loss = [part for part in (method.surrogate, *(x for _, x in method.extras)) if part is not None]
    for term in loss:
        _check_part(term, early | _LOSS_ONLY)
    reads = "values_sg" in method.advantage.needs
    if has_critic and not reads:
        raise BadInput(
            f"a critic is given, but {type(method.advantage).__name__} reads no values: use "
            "Gae(...), or leave the critic out"
        )


def _check_part(part: Any, given: frozenset[str] | set[str]) -> None:
    missing = sorted(part.needs - given)
    if not missing:
        return
    name = missing[0]
    how = {
        "values_sg": "give critic=Critic(critic_of(policy), ...)",
        "mode": "give mix=ModeForced(...)",
        "source": "give a mix that has it",
    }.get(name, f"give it as a column of the prompts, [{KEYS.get(name, '?')}]")
    raise BadInput(
        f"{type(part).__name__} needs the key {name!r}, which neither the trainer computes nor the "
        f"prompts have: {how}"
    )


def _rows(columns: Mapping[str, Tensor], units: Tensor, width: int) -> dict[str, Tensor]:
    """These rows of all columns, columns of tokens as wide as the widest row."""
    # Asked once: reading the answer waits for the device.
    every = len(units) == len(columns["logp" if "logp" in columns else "mask"]) and bool(
        (units == torch.arange(len(units), device=units.device)).all()
    )
    found = {}
    for name, x in columns.items():
        picked = x if every else x[units]
        found[name] = picked[:, :width] if picked.ndim >= 2 and name not in _WIDE else picked
    return found


_WIDE = frozenset({"aspects", "ref_reward"})  # second axis: not tokens


def _flat(reward: Tensor, size: int) -> Tensor:
    """Rows of groups in which all rewards are equal, [B] booleans."""
    groups = reward.reshape(-1, size)
    return (groups == groups[:, :1]).all(1).repeat_interleave(size)


def _told(
    rollout: Rollout, rows: Rows, shaped: Tensor, frozen: Mapping[str, Tensor], flat: Tensor
) -> dict[str, float]:
    found = {
        "reward": float(rollout.reward.mean()),
        "right": float(frozen["label"].to(torch.float32).mean()),
        "shaped reward": float(shaped.mean()),
        "flat groups": float(flat.to(torch.float32).mean()),
        "length": float(frozen["length"].mean()),
        "ended": float(rollout.ended.to(torch.float32).mean()),
    }
    if "value_target_sg" in frozen:
        target = frozen["value_target_sg"][rows.mask]
        error = target - frozen["values_sg"][rows.mask]
        spread = target.var() if len(target) > 1 else target.sum() * 0.0
        # Equal targets differ by rounding (advantage + value), which explains nothing.
        found["explained variance"] = float(1.0 - error.var() / spread) if spread > 1e-9 else 0.0
    return found


def _token_mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask).sum() / mask.sum().clamp(min=1.0)
