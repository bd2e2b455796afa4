# SPDX-License-Identifier: BSD-3-Clause
"""Reinforcement learning with memory: a policy learns to walk a T-maze by REINFORCE.

A sign at the beginning of a corridor tells whether to turn left or right at its end, where it can no longer be seen
(Bakker, "Reinforcement learning with long short-term memory", 2001). Mazes are walked side by side, one after another
without a pause; their episodes are packed into one array of sequences, and `resets=` says where a new one begins. The
gradient of REINFORCE with a baseline (Williams 1992) is written out, and the tape takes it back through the model.
"""

from __future__ import annotations

import argparse

import numpy as np

import lstmfast as lf
from lstmfast import Input, Model, layers

FORWARD = 2  # actions 0 and 1 turn left and right
SIGN = slice(0, 2)  # of an observation; then: in the corridor, at its end
DISCOUNT, ENTROPY = 0.95, 0.01


class Mazes:
    """Many T-mazes in step: an episode that ended is followed by a new one."""

    def __init__(self, count: int, length: int, rng: np.random.Generator) -> None:
        self.length, self.rng = length, rng
        self.place, self.side = np.zeros(count, int), rng.integers(0, 2, count)

    def observe(self) -> np.ndarray:
        seen = np.zeros((len(self.place), 4), np.float32)
        seen[np.arange(len(seen)), self.side] = self.place == 0
        seen[:, 2], seen[:, 3] = self.place < self.length, self.place == self.length
        return seen

    def act(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rewards, and which episodes have ended: 1 for the right turn, -0.05 for a step into a wall."""
        at_end, turns = self.place == self.length, action != FORWARD
        ended = at_end & turns
        reward = np.where(ended, action == self.side, -0.05 * (at_end != turns))
        self.place = np.where(ended, 0, self.place + (~at_end & ~turns))
        self.side = np.where(ended, self.rng.integers(0, 2, len(self.side)), self.side)
        return reward, ended


def walk(model: Model, mazes: Mazes, steps: int, states: list | None) -> tuple:
    """Observations, resets, actions, rewards and ends, (B, steps) each; the states behind the last step."""
    taken, fresh = [], np.full(len(mazes.place), states is None)
    for _ in range(steps):
        seen = mazes.observe()
        (p, _), tape = model.forward(seen[:, None], states=states, resets=fresh[:, None])
        states = tape.states
        drawn = p[:, 0].cumsum(1) < mazes.rng.random((len(seen), 1), np.float32)
        action = np.minimum(drawn.sum(1), 2)
        reward, ended = mazes.act(action)
        taken.append((seen, fresh, action, reward, ended))
        fresh = ended
    return *(np.stack(a, axis=1) for a in zip(*taken, strict=True)), fresh, states


def returns(reward: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Discounted sums to the end of each episode, and which steps have seen that end."""
    sums, known = np.zeros(reward.shape, np.float32), np.zeros(reward.shape, bool)
    ahead, complete = np.zeros(len(reward)), np.zeros(len(reward), bool)
    for t in reversed(range(reward.shape[1])):
        ahead = reward[:, t] + DISCOUNT * np.where(ended[:, t], 0, ahead)
        complete = complete | ended[:, t]
        sums[:, t], known[:, t] = ahead, complete
    return sums, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=6, help="of the corridor")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    lf.utils.set_random_seed(arguments.seed)
    x = Input((None, 4))
    h = layers.LSTM(24, return_sequences=True)(x)
    policy, value = layers.Dense(3, activation="softmax")(h), layers.Dense(1)(h)
    model = Model(x, [policy, value])
    model.compile(lf.optimizers.Adam(0.01, global_clipnorm=1.0))

    mazes = Mazes(32, arguments.length, np.random.default_rng(arguments.seed))
    for update in range(arguments.updates):
        # Every piece begins with new episodes; the last ones, which it cuts, do not count.
        mazes.place[:] = 0
        seen, fresh, action, reward, ended, _, _ = walk(model, mazes, 40, None)
        sums, known = returns(reward, ended)
        (p, baseline), tape = model.forward(seen, training=True, resets=fresh)
        advantage = (sums - baseline[..., 0]) * known / max(known.sum(), 1)
        chosen = np.eye(3, dtype=np.float32)[action]
        # The losses are -advantage * log p(action) - ENTROPY * entropy and (baseline - sum)^2 / 2.
        share = (ENTROPY * known / max(known.sum(), 1))[..., None]
        dp = -advantage[..., None] * chosen / np.maximum(p, 1e-6) + share * (np.log(p + 1e-6) + 1)
        grads, _, _ = tape.backward([dp, -advantage[..., None]])
        model.apply_gradients(grads)
        if update % 50 == 49:
            right = reward[ended] == 1
            print(f"update {update + 1}: {right.size} episodes, {right.mean():.0%} ended on the right side")

    mazes = Mazes(100, arguments.length, np.random.default_rng(arguments.seed + 1))
    *_, reward, ended, _, _ = walk(model, mazes, 60, None)
    steps = ended.size / max(ended.sum(), 1)
    print(
        f"right turns {np.mean(reward[ended] == 1):.4f} of {ended.sum()} (chance 0.5), {steps:.1f} steps each"
    )


if __name__ == "__main__":
    main()
